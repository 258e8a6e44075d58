"""Vectors of users that were not trained on, from what they have.

Axes: b users, h items of a history, i items, d features.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int


def fold_in(
    item_vectors: Float[Array, "i d"],
    history: Int[Array, "b h"],
    where: Bool[Array, "b h"],
    *,
    ridge: float = 1.0,
    unobserved: float = 0.1,
) -> Float[Array, "b d"]:
    """The vector whose inner products are nearest to 1 on a history and to 0 elsewhere.

    ``(w V'V + (1 - w) V_h'V_h + r I)^-1 V_h' 1`` with the item vectors V frozen, those of the
    history V_h, weight w of what is not in it and ridge r: one step of implicit least squares
    (Y. Hu, Y. Koren, C. Volinsky, ICDM 2008, equation 4). An empty history gives zeros.

    Args:
        item_vectors: of a model that scores by inner products.
        history: items, each at most once; any number where `where` is False.
        where: places that hold an item.
        ridge: above 0, in units of squared lengths; towards infinity the result goes to zero.
        unobserved: weight of the other items, in [0, 1]; 0 fits the history alone.

    Raises:
        ValueError: `ridge` or `unobserved` is out of range.
    """
    if ridge <= 0 or not 0 <= unobserved <= 1:
        raise ValueError(
            f"fold_in: ridge {ridge}, unobserved {unobserved}; give ridge above 0 and a share"
        )
    vectors = item_vectors.astype(jnp.float32)
    width = vectors.shape[1]
    shared = unobserved * jnp.einsum("id,ie->de", vectors, vectors, precision="highest")
    shared += ridge * jnp.eye(width)

    def solve(items: Array, there: Array) -> Array:
        own = jnp.where(there[:, None], vectors[jnp.where(there, items, 0)], 0.0)
        square = jnp.einsum("hd,he->de", own, own, precision=lax.Precision.HIGHEST)
        return jax.scipy.linalg.solve(
            shared + (1 - unobserved) * square, own.sum(0), assume_a="pos"
        )

    return jax.vmap(solve)(history, where)
