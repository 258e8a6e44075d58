from . import blocks as blocks
from . import data as data
from . import encoders as encoders
from . import evaluation as evaluation
from . import layers as layers
from . import models as models
from . import semantic_ids as semantic_ids
from . import training as training
from . import viz as viz
from .api import evaluate as evaluate
from .api import evaluator as evaluator
from .api import fit as fit
from .api import pairs as pairs
from .api import task as task
from .data import load as load
from .errors import UserError as UserError
from .objective import Objective as Objective
from .retriever import Model as Model
from .retriever import Retriever as Retriever
from .retriever import TopK as TopK
from .runs import FinishedRun as FinishedRun
from .runs import load_run as load_run

__version__: str
