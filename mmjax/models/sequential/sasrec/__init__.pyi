from .config import SASRecConfig as SASRecConfig
from .objective import SASRec as SASRec
from .objective import build as build
