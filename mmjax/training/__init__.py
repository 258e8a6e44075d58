"""Training apart from the models: from an objective to trained parameters, killed and resumed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
