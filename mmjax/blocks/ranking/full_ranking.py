"""The best items of a few users out of all items, exactly.

Axes: b users, i items, d features, m seen pairs, k recommended items.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.blocks.ranking.topk import top_k

Score = Callable[[Array, Array], Array]


@partial(jax.jit, static_argnames=("k", "precision"))
def top_items(
    user_vectors: Float[Array, "b d"],
    item_vectors: Float[Array, "i d"],
    seen: Int[Array | np.ndarray, "m 2"] | None = None,
    *,
    k: int,
    score: Score | None = None,
    precision: lax.PrecisionLike = lax.Precision.HIGHEST,
) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """The k best items of each user and their scores, best first; equal scores by item id.

    Where a score that counts is NaN or beyond float32, there is no ranking: all scores of that
    user come back NaN, beside the other items in their order. A `score` of -inf leaves an item out.

    Args:
        user_vectors: finite.
        item_vectors: finite; scores are inner products, accumulated in float32.
        seen: (row of `user_vectors`, item) pairs to leave out; row b or above marks padding.
        k: items per user, 1 or more. Where fewer are left, the rest is id -1, score -inf.
        score: ``score(user_vectors, item_vectors) -> [b, i]``, in place of inner products; a
            pytree, such as a `jax.tree_util.Partial`.
        precision: of the inner products; the default ranks exactly on every device.

    Raises:
        ValueError: k is below 1.
    """
    if score is None:
        scores = jnp.einsum(
            "bd,id->bi",
            user_vectors,
            item_vectors,
            precision=precision,
            preferred_element_type=jnp.float32,
        )
        scores = jnp.where(jnp.isfinite(scores), scores, jnp.nan)
    else:
        scores = score(user_vectors, item_vectors).astype(jnp.float32)
        scores = jnp.where(scores < jnp.inf, scores, jnp.nan)
    if seen is not None:
        scores = scores.at[seen[:, 0], seen[:, 1]].set(-jnp.inf, mode="drop")
    unknown = jnp.isnan(scores)
    values, ids = top_k(jnp.where(unknown, -jnp.inf, scores), k)
    return ids, jnp.where(unknown.any(1, keepdims=True), jnp.nan, values)
