"""Searches where each query means one candidate: hits, reciprocal ranks, recall over codes.

Axes: q queries, n candidates, g those of the gallery, p width, w beams.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Integer

from mmjax.blocks.decoding.code_recall import place_of, recall_code, recall_item
from mmjax.blocks.decoding.tries import Trie
from mmjax.evaluation.ranking import RankingTask, ranking_metrics, ranking_task, summarise


def gold_task(
    gold: Integer[np.ndarray, "q"], n_candidates: int, *, batch_size: int | None = None
) -> RankingTask:
    """The ranking of numbered queries (`mmjax.retriever.numbered`), each of one right candidate.

    `batch_size` as for `mmjax.evaluation.ranking.ranking_task`.
    """
    pairs = np.stack([np.arange(len(gold)), gold], 1)
    return answers_task(pairs, len(gold), n_candidates, batch_size=batch_size)


def answers_task(
    pairs: Integer[np.ndarray, "m 2"],
    n_queries: int,
    n_candidates: int,
    *,
    batch_size: int | None = None,
) -> RankingTask:
    """The ranking of numbered queries, of which each has one right candidate or more.

    `pairs` are (query, candidate) of what is right; `batch_size` as for `gold_task`.
    """
    nothing = np.zeros((0, 2), np.int64)
    return ranking_task(pairs, nothing, n_queries, n_candidates, batch_size=batch_size)


def hits_and_mrr(
    task: RankingTask, ids: Int[Array, "q k"], *, ks: tuple[int, ...]
) -> dict[str, float]:
    """Mean hits ("hits@k") and reciprocal ranks ("mrr@k") of the best right candidate.

    Args:
        task: from `gold_task` or `answers_task`.
        ids: candidates of each query, best first; -1 is a miss.
        ks: cut-offs, at most as large as there are columns.
    """
    means = summarise(ranking_metrics(task, ids, ks=ks))
    hits = {f"hits@{k}": means[f"hr@{k}"] for k in ks}
    return hits | {f"mrr@{k}": means[f"mrr@{k}"] for k in ks}


def vector_recall(
    queries: Float[np.ndarray, "q p"] | Float[Array, "q p"],
    candidates: Float[np.ndarray, "n p"] | Float[Array, "n p"],
    gold: Integer[np.ndarray, "q"],
    gallery: Integer[np.ndarray, "g"],
    ks: Sequence[int],
) -> dict[str, float]:
    """Recall of an exhaustive ranking of the gallery by inner products; ties count against it.

    Args:
        queries: vectors of the queries.
        candidates: vectors of all candidates.
        gold: the candidate that each query means.
        gallery: candidates that are ranked, ascending.
        ks: cut-offs.
    """
    scores = np.asarray(queries, np.float32) @ np.asarray(candidates, np.float32)[gallery].T
    place = np.searchsorted(gallery, gold)
    own = scores[np.arange(len(gold)), place]
    rank = (scores >= own[:, None]).sum(1) - 1
    return {f"recall@{k}": float((rank < k).mean()) for k in ks}


def code_recall(
    trie: Trie, leaves: Int[Array, "q w"], gold: Integer[np.ndarray, "q"], ks: Sequence[int]
) -> dict[str, float]:
    """``recall@k`` of candidates, expected where they share a code, and ``recall_code@k``.

    Args:
        trie: the codes that were searched.
        leaves: of the beams, best first.
        gold: the candidate that each query means.
        ks: cut-offs.
    """
    place = place_of(trie, leaves, jnp.asarray(gold, jnp.int32))
    numbers = {}
    for k in ks:
        numbers[f"recall@{k}"] = float(recall_item(place, k).mean())
        numbers[f"recall_code@{k}"] = float(recall_code(place, k).mean())
    return numbers


def collision_rate(codes: Integer[np.ndarray, "n l"], gallery: Integer[np.ndarray, "g"]) -> float:
    """Share of the gallery whose code another candidate of it has already."""
    return 1 - len(np.unique(codes[gallery], axis=0)) / len(gallery)
