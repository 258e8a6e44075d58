from . import light_gcn as light_gcn
from . import mgdcf as mgdcf
from . import neighbours as neighbours
