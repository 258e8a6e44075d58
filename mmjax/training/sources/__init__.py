"""Batches drawn on the device: pairs, rows, sequences, subsets."""

from mmjax.training.sources.pairs import (
    Plan,
    Shuffle,
    Source,
    nothing_shared,
    pairs_source,
    rows_source,
    triples_source,
    with_draws,
)
from mmjax.training.sources.sequences import packed_source, windows_source
from mmjax.training.sources.subsets import history_source

__all__ = [
    "Plan",
    "Shuffle",
    "Source",
    "history_source",
    "nothing_shared",
    "packed_source",
    "pairs_source",
    "rows_source",
    "triples_source",
    "windows_source",
    "with_draws",
]
