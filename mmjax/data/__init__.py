"""Data sets as frozen dataclasses of numpy arrays; never a model, never JAX."""
