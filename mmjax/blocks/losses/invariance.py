"""Gates on features and the spread of gradients over environments, for invariant learning.

Axes: n environments, f gated features.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Key


def gates(mu: Float[Array, "f"]) -> Float[Array, "f"]:
    """``clip(mu + 1/2, 0, 1)``: half open at zero, shut at -1/2 and below."""
    return jnp.clip(mu + 0.5, 0.0, 1.0)


def noisy_gates(key: Key[Array, ""], mu: Float[Array, "f"], *, sigma: float) -> Float[Array, "f"]:
    """``gates(mu + sigma * noise)`` with standard normal noise (Y. Yamada et al., ICML 2020,
    arXiv 1810.04247)."""
    return gates(mu + sigma * jax.random.normal(key, mu.shape, mu.dtype))


def spread(gradients: Float[Array, "n ..."], where: Bool[Array, "n"]) -> Float[Array, "..."]:
    """Sum over environments of the squared distance of each entry from the environments' mean.

    `where` marks the environments that count. Zero if all gradients are equal, four times as
    large for gradients twice as large (invariance penalty of InvRL, X. Du et al., ACM MM 2022).
    """
    there = where.reshape(where.shape + (1,) * (gradients.ndim - 1))
    mean = jnp.where(there, gradients, 0).sum(0) / jnp.maximum(where.sum(), 1)
    return jnp.where(there, jnp.square(gradients - mean[None]), 0).sum(0)
