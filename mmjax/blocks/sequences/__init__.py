"""Histories and packed sequences, batches and negatives, drawn on the device."""

from mmjax.blocks.sequences.histories import Histories, counts, shuffled, some_items
from mmjax.blocks.sequences.packing import (
    Packed,
    Tokens,
    own_past,
    pack,
    packed,
    side_by_side,
    tokens,
)
from mmjax.blocks.sequences.sampling import (
    NegativeIndex,
    bucket_by_length,
    distinct_unseen,
    epoch_batches,
    negative_index,
    nth_unseen,
    permutation,
    uniform_negatives,
    unseen_count,
    unseen_negatives,
)

__all__ = [
    "Histories",
    "NegativeIndex",
    "Packed",
    "Tokens",
    "bucket_by_length",
    "counts",
    "distinct_unseen",
    "epoch_batches",
    "negative_index",
    "nth_unseen",
    "own_past",
    "pack",
    "packed",
    "permutation",
    "shuffled",
    "side_by_side",
    "some_items",
    "tokens",
    "uniform_negatives",
    "unseen_count",
    "unseen_negatives",
]
