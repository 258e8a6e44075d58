"""MIG-GT: modality-independent graphs with a global transformer (arXiv 2412.13994)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
