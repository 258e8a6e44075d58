"""Exact ranking of all items and the metrics of rankings."""

from mmjax.blocks.ranking.full_ranking import (
    RankingTask,
    Score,
    evaluate,
    judge,
    rank,
    ranking_task,
    summarise,
    top_items,
)
from mmjax.blocks.ranking.metrics import (
    METRICS,
    NDCG,
    average_precision,
    hit,
    ndcg,
    ndcg_list,
    precision,
    recall,
)
from mmjax.blocks.ranking.topk import top_k

__all__ = [
    "METRICS",
    "NDCG",
    "RankingTask",
    "Score",
    "average_precision",
    "evaluate",
    "hit",
    "judge",
    "ndcg",
    "ndcg_list",
    "precision",
    "rank",
    "ranking_task",
    "recall",
    "summarise",
    "top_items",
    "top_k",
]
