"""Attention over sequences, sets and relations, positions, pooling and prompts."""

from mmjax.blocks.attention.attention import attend, causal, visible
from mmjax.blocks.attention.pooling import masked_mean
from mmjax.blocks.attention.positions import sinusoidal
from mmjax.blocks.attention.prompt_pool import (
    Chosen,
    Usage,
    choose,
    coda_weights,
    cosines,
    gather,
    mix,
    orthogonality,
    pull,
    usage,
)
from mmjax.blocks.attention.relational import (
    Gate,
    Gates,
    Relation,
    Terms,
    gate,
    relation_attention,
    relation_terms,
)
from mmjax.blocks.attention.relative import bucket, distance_bias, pairwise_bias

__all__ = [
    "Chosen",
    "Gate",
    "Gates",
    "Relation",
    "Terms",
    "Usage",
    "attend",
    "bucket",
    "causal",
    "choose",
    "coda_weights",
    "cosines",
    "distance_bias",
    "gate",
    "gather",
    "masked_mean",
    "mix",
    "orthogonality",
    "pairwise_bias",
    "pull",
    "relation_attention",
    "relation_terms",
    "sinusoidal",
    "usage",
    "visible",
]
