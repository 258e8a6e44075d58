"""MetaMMF: item-specific fusion by a meta-learner (arXiv 2501.07110)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
