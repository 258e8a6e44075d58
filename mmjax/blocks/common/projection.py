"""Row normalisation and random projection of features.  Axes: n rows, d features, w width."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Key


def l2_normalise(x: Float[Array, "*n d"], eps: float = 1e-8) -> Float[Array, "*n d"]:
    """Each row over its Euclidean norm plus `eps`; a row of zeros stays zero, with gradient 0/eps.

    The squares are summed in float32 at least.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squares = jnp.sum(wide * wide, axis=-1, keepdims=True)
    positive = squares > 0
    norm = jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
    return (wide / (norm + eps)).astype(x.dtype)


def random_projection(
    key: Key[Array, ""], x: Float[Array, "n d"], width: int
) -> Float[Array, "n w"]:
    """``l2_normalise(x R)`` with R ~ N(0, 1) of shape [d, width] (MIG-GT, visual features).

    Raises:
        ValueError: `width` is not positive.
    """
    if width < 1:
        raise ValueError(f"width must be positive, got {width}")
    r = jax.random.normal(key, (x.shape[1], width), x.dtype)
    return l2_normalise(jnp.dot(x, r, precision=lax.Precision.HIGHEST))
