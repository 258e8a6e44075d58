from . import mmgrec as mmgrec
from . import rq_vae as rq_vae
from . import tiger as tiger
