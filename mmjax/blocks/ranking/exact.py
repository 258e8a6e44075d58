"""Exact search by inner products on the host, block by block.

Axes: q queries, m documents, k places of a result, w width.
"""

import numpy as np
from jaxtyping import Float, Int


def ranked_ids(
    queries: Float[np.ndarray, "q w"], documents: Float[np.ndarray, "m w"], k: int
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """The k documents of the largest inner products with each query, and these, best first.

    Of equal ones the first comes first. One block of queries after the other is held in memory.

    Raises:
        ValueError: there are fewer documents than k, or a vector is not finite.
    """
    if not 1 <= k <= len(documents):
        raise ValueError(f"k {k}: give 1..{len(documents)}")
    if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        raise ValueError("a vector of a query or a document is not finite")
    ids, values, block = [], [], max(1, 50_000_000 // len(documents))
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ documents.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        ids.append(order)
        values.append(np.take_along_axis(scores, order, 1))
    if not ids:
        return np.zeros((0, k), np.int64), np.zeros((0, k))
    return np.concatenate(ids), np.concatenate(values)
