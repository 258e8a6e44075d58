from .config import MetaMMFConfig as MetaMMFConfig
from .objective import SLOPE as SLOPE
from .objective import ItemFusion as ItemFusion
from .objective import MetaMMF as MetaMMF
from .objective import build as build
