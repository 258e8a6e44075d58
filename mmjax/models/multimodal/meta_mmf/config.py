"""Hyper-parameters of MetaMMF (arXiv 2501.07110); the defaults are the authors' for MovieLens."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetaMMFConfig:
    """Architecture of MetaMMF."""

    modalities: tuple[str, ...] = ()
    """Content modalities that are read, in this order; none named means all."""
    normalise: bool = False
    """Scale every modality's rows to length one; the paper reads them as published. Every dynamic
    layer multiplies by the features once more, so that raw features much larger than one (such as
    VGGish's bytes) explode: scale those."""
    head: Literal["mf", "gcn"] = "gcn"
    """What scores the vectors: mf, their inner product; gcn, two GraphSAGE layers before it."""
    widths: tuple[int, ...] = (1024, 512, 256, 32)
    """Outputs of the fusion layers; the last is the width of the content half of an item."""
    id_width: int = 32
    """Width of the id half of an item; 0 leaves it out."""
    meta_width: int = 5
    """Entries of an item's meta information, which makes its fusion weights."""
    static: bool = True
    """Whether the fusion weights have a part that all items share."""
    dynamic: Literal["cp", "official", "full", "none"] = "cp"
    """The part of the fusion weights that is an item's own: cp, a CP-factored tensor; full, the
    whole tensor; official, what the authors' code computes, one factored matrix times a scalar
    of the item; none."""
    rank: int = 16
    """Rank of the factors."""
    cold_ids: Literal["initial", "zero"] = "initial"
    """The id half of items without a training pair: initial, as it starts, moved only where the
    item is drawn as a negative; zero."""
    hidden_dropout: float = 0.5
    """Dropout between the GraphSAGE layers (head gcn)."""
    output_dropout: float = 0.2
    """Dropout after them (head gcn)."""
