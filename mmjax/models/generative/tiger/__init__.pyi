from .config import SidConfig as SidConfig
from .config import TIGERConfig as TIGERConfig
from .objective import TIGER as TIGER
from .objective import Found as Found
from .objective import build as build
from .objective import recommend as recommend
from .objective import score_items as score_items
