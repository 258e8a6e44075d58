from . import light_gcn as light_gcn
from . import mgdcf as mgdcf
from . import neighbours as neighbours
from .config import BPRMFConfig as BPRMFConfig
from .config import LightGCNConfig as LightGCNConfig
from .config import MGDCFConfig as MGDCFConfig
