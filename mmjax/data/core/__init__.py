"""Data sets as frozen dataclasses of numpy arrays."""
