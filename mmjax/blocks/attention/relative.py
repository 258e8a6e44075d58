"""T5's buckets of relative positions.

C. Raffel et al., JMLR 2020, arXiv 1910.10683, section 2.1.

Axes: q queries, k keys, h heads, n buckets, r distances.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int


def bucket(
    distance: Int[Array, "*r"] | Int[np.ndarray, "*r"],
    *,
    buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Int[Array, "*r"]:
    """Bucket, in [0, buckets), of each ``distance = key - query``.

    Bidirectional: half of the buckets for keys behind the query, half for those ahead; causal: all
    of them for keys behind, and keys ahead share bucket 0. Of those for one direction the first
    half holds one distance each, the rest grows geometrically up to `max_distance`, beyond which
    the last holds everything.

    Raises:
        ValueError: fewer than two buckets for a direction, or `max_distance` does not exceed the
            distances that have a bucket of their own.
    """
    n = buckets // 2 if bidirectional else buckets
    table = _one_direction(n, max_distance)
    behind = jnp.abs(distance) if bidirectional else jnp.maximum(-distance, 0)
    found = jnp.asarray(table)[jnp.minimum(behind, max_distance)]
    return jnp.where(distance > 0, found + n, found) if bidirectional else found


@functools.cache
def _one_direction(n: int, max_distance: int) -> np.ndarray:
    exact = n // 2
    if exact < 1 or max_distance <= exact:
        raise ValueError(
            f"{n} buckets a direction up to distance {max_distance}: there must be two at least, "
            f"and the distance must exceed {exact}, half of them"
        )
    # The tolerance keeps distances that stand exactly on a border, such as twice `exact`, above it.
    steps = (n - exact) / math.log(max_distance / exact)
    far = [int(math.log(a / exact) * steps + 1e-9) for a in range(exact, max_distance + 1)]
    return np.concatenate([np.arange(exact), np.minimum(exact + np.array(far), n - 1)]).astype(
        np.int32
    )


def distance_bias(
    table: Float[Array, "n h"],
    distance: Int[Array, "*r"],
    *,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Float[Array, "*r h"]:
    """Each head's bias at some distances, read from its table of buckets.

    A product with one-hot rows instead of a lookup, so that the gradient is not a scatter.
    """
    found = bucket(
        distance, buckets=len(table), max_distance=max_distance, bidirectional=bidirectional
    )
    one_hot = (
        found[..., None] == jnp.arange(len(table)).reshape((1,) * found.ndim + (-1,))
    ).astype(table.dtype)
    return jnp.matmul(one_hot, table, precision=lax.Precision.HIGHEST)


def pairwise_bias(
    table: Float[Array, "n h"],
    n_queries: int,
    n_keys: int,
    *,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Float[Array, "1 h q k"]:
    """Bias of all queries against all keys, both counted from position 0.

    Only the n_queries + n_keys distances are looked up; the square is a reshape of copies of them,
    each one place further than the one before.
    """
    period = n_queries + n_keys
    # Circular order: keys ahead from the front, keys behind from the back.
    ring = np.arange(period)
    ring = np.where(ring < n_keys, ring, ring - period)
    bias = distance_bias(
        table, jnp.asarray(ring), max_distance=max_distance, bidirectional=bidirectional
    ).T
    copies = jnp.broadcast_to(bias[:, None], (bias.shape[0], n_queries, period))
    flat = copies.reshape(-1, n_queries * period)[:, : n_queries * (period - 1)]
    return flat.reshape(-1, n_queries, period - 1)[None, :, :, :n_keys]
