from . import sources as sources
from .best import Best as Best
from .best import load_best as load_best
from .config import FitConfig as FitConfig
from .fitting import FitResult as FitResult
from .fitting import fit as fit
from .signals import Interrupted as Interrupted
