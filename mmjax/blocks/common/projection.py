"""Row normalisation and random projection of features.  Axes: n rows, d features, w width."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Key


def l2_normalise(x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """Each row over its Euclidean norm; a row of zeros stays zero, with a finite gradient.

    The direction does not depend on the length over the whole range of float32: a row is brought
    to a largest entry of one before it is squared. Squares are summed in float32 at least.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # The result does not depend on the scale, so no gradient flows through it.
    largest = lax.stop_gradient(jnp.abs(wide).max(axis=-1, keepdims=True, initial=0.0))
    # In two halves, because one over the largest numbers of float32 is no normal number.
    half = jnp.sqrt(jnp.where(largest > 0, largest, 1))
    wide = wide / half / half
    squares = jnp.sum(wide * wide, axis=-1, keepdims=True)
    return (wide / jnp.sqrt(jnp.where(largest > 0, squares, 1))).astype(x.dtype)


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
