"""Losses, one value an example; the caller takes the mean."""

from mmjax.blocks.losses.contrast import between_tables, in_batch
from mmjax.blocks.losses.disentangle import (
    chunks,
    factor_scores,
    fuse,
    hardest_bpr,
    inter_modality,
    modality_weights,
    score,
    which_factor,
)
from mmjax.blocks.losses.ewc import Params, accumulate, diagonal_fisher, penalty
from mmjax.blocks.losses.incremental_classifier import between, cross_entropy, top_rows
from mmjax.blocks.losses.invariance import gates, noisy_gates, spread
from mmjax.blocks.losses.pairwise import (
    bpr,
    emb_loss,
    half_square,
    info_bpr,
    info_nce,
    sq_loss,
    tur,
)
from mmjax.blocks.losses.pointwise import degree_factors, weighted_bce

__all__ = [
    "Params",
    "accumulate",
    "between",
    "between_tables",
    "bpr",
    "chunks",
    "cross_entropy",
    "degree_factors",
    "diagonal_fisher",
    "emb_loss",
    "factor_scores",
    "fuse",
    "gates",
    "half_square",
    "hardest_bpr",
    "in_batch",
    "info_bpr",
    "info_nce",
    "inter_modality",
    "modality_weights",
    "noisy_gates",
    "penalty",
    "score",
    "spread",
    "sq_loss",
    "top_rows",
    "tur",
    "weighted_bce",
    "which_factor",
]
