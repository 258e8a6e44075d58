"""Pure functions of arrays, by topic: no parameters owned, no files, no configuration objects."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
