"""Multimodal recommendation and retrieval as pure JAX functions that compose.

Rooms: `blocks` (arrays in, arrays out), `layers` and `encoders` (Flax modules), `models` (the
methods, by family), `evaluation`, `data` (numpy data sets), `semantic_ids`, `training`, `viz`.
Names are imported when they are first asked for, so that reading a configuration never loads JAX.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
