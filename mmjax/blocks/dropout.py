"""Inverted dropout with half the random bits.  Axes: any."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Key

_LEVELS = 1 << 16


def keep_levels(rate: float) -> int:
    """How many of 65,536 equally likely levels are kept at a dropout `rate` in [0, 1).

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate must lie in [0, 1), got {rate}")
    return max(1, round((1.0 - rate) * _LEVELS))


def dropout(key: Key[Array, ""], x: Float[Array, "*n"], rate: float) -> Float[Array, "*n"]:
    """Zero each entry with probability `rate`, scale the others by the inverse keep probability.

    The probability is rounded to 1/65536 because a draw takes 16 random bits instead of 32
    (drawing bits is what dropout costs); survivors are scaled by the rounded probability, so the
    expectation is exactly `x`. `rate` is static; 0 returns `x` itself.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    levels = keep_levels(rate)
    if levels == _LEVELS:
        return x
    # Two draws from each 32-bit word: asked for 16 bits, JAX draws 32 and throws half away.
    words = jax.random.bits(key, (-(-x.size // 2),), jnp.uint32)
    draws = lax.bitcast_convert_type(words, jnp.uint16).ravel()[: x.size].reshape(x.shape)
    kept = draws < levels
    return jnp.where(kept, x * (_LEVELS / levels), jnp.zeros((), x.dtype)).astype(x.dtype)
