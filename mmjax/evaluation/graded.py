"""Metrics where a query has any number of relevant documents, with grades; all are fractions.

Formulas as in trec_eval: recall and average precision are divided by all relevant documents of the
query, and the ideal gain is that of its best grades. Queries without a relevant document are left
out of the means.

Axes: q queries, k places of a result, m documents of a query, j judged queries.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer

Gain = Literal["exponential", "linear"]


@runtime_checkable
class Graded(Protocol):
    """Graded documents by query, such as `mmjax.data.Judgements`."""

    start: Any
    """Where the judgements of each query begin, one entry more than there are queries."""

    def of(self, query: int) -> tuple[Any, Any]:
        """Documents and grades of a query."""
        ...

    def judged(self) -> Any:
        """Queries with a relevant document, ascending."""
        ...


def graded_metrics(
    ids: Integer[np.ndarray, "q k"],
    judgements: Graded,
    ks: Sequence[int],
    *,
    gain: Gain = "exponential",
) -> dict[str, Float[np.ndarray, "j"]]:
    """Recall, hits, reciprocal rank, average precision and nDCG at each cut-off, of every query.

    Args:
        ids: documents of each query, best first; -1 is a miss.
        judgements: of the same queries.
        ks: cut-offs, at most k.
        gain: of a grade g above 0: ``2**g - 1``, or ``g``.

    Returns:
        ``recall@k``, ``hits@k``, ``mrr@k``, ``map@k`` and ``ndcg@k`` of the queries that
        `Graded.judged` lists, in its order.

    Raises:
        ValueError: a cut-off is outside 1..k, the numbers of queries differ, or a result holds a
            document twice.
    """
    if not ks or min(ks) < 1 or max(ks) > ids.shape[1]:
        raise ValueError(f"cut-offs {tuple(ks)}: give some in 1..{ids.shape[1]}")
    if len(ids) != len(judgements.start) - 1:
        raise ValueError(f"results of {len(ids)} queries, judgements of another number")
    queries = judgements.judged()
    found = {f"{m}@{k}": np.zeros(len(queries)) for k in ks for m in _METRICS}
    for row, query in enumerate(queries.tolist()):
        if len(np.unique(real := ids[query][ids[query] >= 0])) < len(real):
            raise ValueError(f"the result of query {query} holds a document twice")
        document, grade = judgements.of(query)
        grades = dict(zip(document.tolist(), grade.tolist(), strict=True))
        ranked = np.array([max(grades.get(i, 0.0), 0.0) for i in ids[query].tolist()])
        ideal = np.sort(np.maximum(grade.astype(np.float64), 0))[::-1]
        for k in ks:
            values = _metrics(ranked[:k], ideal, k, gain)
            for name, value in zip(_METRICS, values, strict=True):
                found[f"{name}@{k}"][row] = value
    return found


def mean_graded(metrics: dict[str, Float[np.ndarray, "j"]]) -> dict[str, float]:
    """Means over the judged queries; NaN where there is none."""
    return {name: float(x.mean()) if len(x) else float("nan") for name, x in metrics.items()}


_METRICS = ("recall", "hits", "mrr", "map", "ndcg")


def _metrics(
    ranked: Float[np.ndarray, "k"], ideal: Float[np.ndarray, "m"], k: int, gain: Gain
) -> tuple[float, ...]:
    hit = ranked > 0
    place = np.arange(1, len(ranked) + 1)
    relevant = int((ideal > 0).sum())
    first = 1 / (int(np.argmax(hit)) + 1) if hit.any() else 0.0
    precision = float((np.cumsum(hit) / place * hit).sum()) / relevant
    best = _dcg(ideal[:k], gain)
    return hit.sum() / relevant, float(hit.any()), first, precision, _dcg(ranked, gain) / best


def _dcg(grades: Float[np.ndarray, "m"], gain: Gain) -> float:
    gains = np.exp2(grades) - 1 if gain == "exponential" else grades
    return float((gains / np.log2(np.arange(len(grades)) + 2)).sum())
