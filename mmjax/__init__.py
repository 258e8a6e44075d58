"""Multimodal recommendation and retrieval as pure JAX functions that compose.

Rooms: `blocks` (arrays in, arrays out), `layers` and `encoders` (Flax modules), `models` (one
file a paper), `data` (numpy data sets), `training` (objective to trained parameters), `viz`.
Nothing is imported here, so that reading a configuration never loads JAX.
"""

__version__ = "0.1.0"
