"""Learning to rank one right sequence before those that a search found instead.

Axes: b queries, n negatives.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from mmjax.blocks.losses.pairwise import info_bpr


def gold_first(
    gold: Float[Array, "b"],
    negatives: Float[Array, "b n"],
    *,
    where: Bool[Array, "b n"],
    double_softmax: bool = False,
) -> Float[Array, "b"]:
    """``-log softmax`` over the gold score and the negatives' at the gold; zero without negatives.

    AVG's loss of its discriminative stage (arXiv 2407.17274). Its released code takes the softmax
    twice: at least ``log(e + n) - 1`` then, and ``log(1 + n)`` for equal scores in both forms.

    Args:
        gold: log-probabilities of the right sequences.
        negatives: those of others.
        where: negatives that count.
        double_softmax: as in the released code.
    """
    others = jnp.where(where, negatives.astype(jnp.float32), -jnp.inf)
    if not double_softmax:
        return info_bpr(gold, others)
    scores = jnp.concatenate([gold.astype(jnp.float32)[:, None], others], axis=1)
    p = jax.nn.softmax(scores, axis=1)
    return info_bpr(p[:, 0], jnp.where(where, p[:, 1:], -jnp.inf))
