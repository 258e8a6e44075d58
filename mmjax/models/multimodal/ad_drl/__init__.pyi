from .config import ADDRLConfig as ADDRLConfig
from .objective import ADDRL as ADDRL
from .objective import Classifier as Classifier
from .objective import Explanation as Explanation
from .objective import ItemFactors as ItemFactors
from .objective import build as build
from .objective import explain as explain
from .objective import steer as steer
