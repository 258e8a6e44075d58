"""AD-DRL: attribute-driven disentangled representations (arXiv 2312.14433)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
