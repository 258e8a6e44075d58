from .config import SASRecConfig as SASRecConfig
from .network import SASRec as SASRec
from .objective import build as build
