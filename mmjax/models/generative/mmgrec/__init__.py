"""MMGRec: recommendation by writing the ids of items (arXiv 2404.16555)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
