"""Positions as fixed vectors.  Axes: t positions, m width."""

import jax.numpy as jnp
from einops import rearrange
from jax import Array
from jaxtyping import Float


def sinusoidal(length: int, width: int, *, base: float = 10_000.0) -> Float[Array, "t m"]:
    """Sines at even, cosines at odd places, of ``t base^(-2n/m)`` at places 2n and 2n + 1.

    A. Vaswani et al., NeurIPS 2017, arXiv 1706.03762, section 3.5.

    Raises:
        ValueError: an odd `width`.
    """
    if width % 2:
        raise ValueError(f"sinusoidal: width {width} is odd; sines and cosines come in pairs")
    rate = base ** (-jnp.arange(0, width, 2) / width)
    angle = jnp.arange(length)[:, None] * rate[None]
    pairs = jnp.stack([jnp.sin(angle), jnp.cos(angle)])
    return rearrange(pairs, "pair length half -> length (half pair)")
