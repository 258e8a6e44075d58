"""The published methods, by family; each is also found by its name, as `mmjax.models.freedom`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
