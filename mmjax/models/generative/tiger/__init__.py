"""TIGER: generative retrieval of the next item by its semantic id (arXiv 2305.05065)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
