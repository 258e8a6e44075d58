"""Pieces that several topics share: devices, dropout, chunks, projections, pairs, branches."""

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.common.branches import Loss, switched_loss
from mmjax.blocks.common.collectives import (
    T,
    gather,
    global_mean,
    global_sum,
    over_devices,
    own_key,
)
from mmjax.blocks.common.hash_dropout import dropout, keep
from mmjax.blocks.common.pairs import check_pairs, sorted_pairs
from mmjax.blocks.common.projection import l2_normalise, random_projection
from mmjax.blocks.common.segmented_search import count_at_most

__all__ = [
    "Loss",
    "T",
    "check_pairs",
    "count_at_most",
    "dropout",
    "gather",
    "global_mean",
    "global_sum",
    "map_batched",
    "keep",
    "l2_normalise",
    "over_devices",
    "own_key",
    "random_projection",
    "sorted_pairs",
    "switched_loss",
]
