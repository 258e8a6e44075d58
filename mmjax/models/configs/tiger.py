"""Hyper-parameters of TIGER."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TIGERConfig:
    """TIGER as published, a T5 of 13 million parameters (arXiv 2305.05065)."""

    width: int = 128
    """Width of the model."""
    layers: int = 4
    """Layers of the encoder and of the decoder, each."""
    heads: int = 6
    """Attention heads."""
    head_width: int = 64
    """Width of a head."""
    hidden: int = 1024
    """Hidden width of the feed-forward networks."""
    dropout: float = 0.1
    """Dropout rate, in [0, 1)."""
    history: int = 20
    """Latest items of a user that are read."""
    user_buckets: int = 2000
    """Tokens of users, who get that of their id modulo this number; 0: no such token."""
    softmax: Literal["level", "vocabulary"] = "level"
    """What a code's probability is relative to: the codes of its level, or all tokens."""
    beams: int = 50
    """Beams of the search."""
    found: int = 20
    """Items that a search gives."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters, softmax and scores are float32."""
