"""PromptDSI: a growing classifier over documents with prompts (arXiv 2406.12593)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
