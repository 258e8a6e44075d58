"""AVG: images found by writing their discrete tokens (arXiv 2407.17274)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
