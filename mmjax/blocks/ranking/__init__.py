"""Exact ranking of all items and the metrics of rankings."""

from mmjax.blocks.ranking.fold_in import fold_in
from mmjax.blocks.ranking.full_ranking import Score, top_items
from mmjax.blocks.ranking.metrics import (
    METRICS,
    NDCG,
    average_precision,
    hit,
    ndcg,
    ndcg_list,
    precision,
    recall,
    reciprocal_rank,
)
from mmjax.blocks.ranking.topk import top_k

__all__ = [
    "METRICS",
    "NDCG",
    "Score",
    "average_precision",
    "fold_in",
    "hit",
    "ndcg",
    "ndcg_list",
    "precision",
    "recall",
    "reciprocal_rank",
    "top_items",
    "top_k",
]
