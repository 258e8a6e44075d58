"""Data sets as frozen dataclasses of numpy arrays; never a model, never JAX."""

from mmjax.data.captioned import CaptionedImages
from mmjax.data.checks import DataError
from mmjax.data.interactions import Interactions, validate
from mmjax.data.load import load, load_sequences
from mmjax.data.load_captioned import load_captioned
from mmjax.data.mmrec import load_mmrec, save_mmrec
from mmjax.data.ratings import load_ratings_csv, load_sequences_csv
from mmjax.data.sequences import Sequences, validate_sequences

__all__ = [
    "CaptionedImages",
    "DataError",
    "Interactions",
    "Sequences",
    "load",
    "load_captioned",
    "load_mmrec",
    "load_ratings_csv",
    "load_sequences",
    "load_sequences_csv",
    "save_mmrec",
    "validate",
    "validate_sequences",
]
