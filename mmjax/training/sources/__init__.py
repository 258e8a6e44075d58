"""Batches drawn on the device: pairs, groups, rows, sequences, subsets."""

from mmjax.training.sources.grouped import grouped_source
from mmjax.training.sources.pairs import (
    BatchSource,
    EpochPlan,
    Shuffle,
    nothing_shared,
    pairs_source,
    rows_source,
    triples_source,
    with_draws,
)
from mmjax.training.sources.sequences import packed_source, windows_source
from mmjax.training.sources.subsets import subset_source

__all__ = [
    "BatchSource",
    "EpochPlan",
    "Shuffle",
    "grouped_source",
    "nothing_shared",
    "packed_source",
    "pairs_source",
    "rows_source",
    "subset_source",
    "triples_source",
    "windows_source",
    "with_draws",
]
