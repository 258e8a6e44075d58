"""Data sets as frozen dataclasses of numpy arrays; never a model, never JAX."""

from mmjax.data.checks import DataError
from mmjax.data.interactions import Interactions, validate
from mmjax.data.load import load
from mmjax.data.mmrec import load_mmrec, save_mmrec
from mmjax.data.ratings import load_ratings_csv

__all__ = [
    "DataError",
    "Interactions",
    "load",
    "load_mmrec",
    "load_ratings_csv",
    "save_mmrec",
    "validate",
]
