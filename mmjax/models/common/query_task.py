"""Pairs of a query and its candidate: the task that a retrieval model is built from.

Axes: q queries, s tokens, n candidates, p width of their vectors, m new pairs.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.ranking.topk import top_k

_CANDIDATES = 64
"""Candidates that are compared at a time; COCO has half a million texts."""


class QueryTask(NamedTuple):
    """Training queries, each with the one candidate that it asks for."""

    queries: Integer[np.ndarray, "q s"]
    """Tokens, padded."""
    candidate: Integer[np.ndarray, "q"]
    """Number of the image, document, ... of each query; several may share one."""


def pseudo_queries(
    queries: Float[np.ndarray, "q p"],
    candidates: Float[np.ndarray, "n p"],
    candidate: Integer[np.ndarray, "q"],
    *,
    k: int,
) -> tuple[Integer[np.ndarray, "m"], Integer[np.ndarray, "m"]]:
    """Queries for the candidates that none asks for: the `k` nearest of all, by inner product.

    A candidate is thus described without a query of its own being read.

    Args:
        queries: vectors of the queries there are.
        candidates: vectors of all candidates.
        candidate: of each query.
        k: queries for each such candidate; all, if there are fewer.

    Returns:
        Rows of `queries`, and the candidates that they are to stand for.
    """
    without = np.setdiff1d(np.arange(len(candidates)), candidate)
    k = min(k, len(queries))
    if not k or not len(without):
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    near = np.asarray(_nearest(jnp.asarray(candidates[without]), jnp.asarray(queries), k=k))
    return near.ravel(), np.repeat(without, k).astype(np.int32)


@partial(jax.jit, static_argnames="k")
def _nearest(candidates: jax.Array, queries: jax.Array, *, k: int) -> jax.Array:
    return map_batched(lambda x: top_k(x @ queries.T, k)[1], candidates, size=_CANDIDATES)
