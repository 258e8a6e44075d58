"""Data sets as frozen dataclasses of numpy arrays; never a model, never JAX."""

from mmjax.data.core.captioned import CaptionedImages
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.sequences import Sequences, validate_sequences
from mmjax.data.formats.mmrec import load_mmrec, save_mmrec
from mmjax.data.formats.ratings import load_ratings_csv, load_sequences_csv
from mmjax.data.load import load, load_sequences
from mmjax.data.load_captioned import load_captioned

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
