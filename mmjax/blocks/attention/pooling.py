"""One vector for a sequence of vectors.  Axes: *b any leading axes, s positions, d features."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped


def masked_mean(x: Float[Array, "*b s d"], where: Shaped[Array, "*b s"]) -> Float[Array, "*b d"]:
    """Mean over the positions that count (1 or True), summed in float32; zeros where none does.

    What stands at the other positions is never read, be it infinite.
    """
    counts = where.astype(bool)
    kept = jnp.where(counts[..., None], x.astype(jnp.float32), 0.0)
    number = jnp.maximum(counts.sum(-1, keepdims=True), 1)
    return (kept.sum(-2) / number).astype(x.dtype)
