"""Gradients through a choice of code.  Axes: b rows, k codes of a codebook, d features.

All return exactly the chosen vector and differ in what its cotangent becomes.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Key

from mmjax.blocks.quantisation.codes import squared_distances

_SMALL = 1e-6
# Nearer to opposite than this, the bisector of two float32 unit vectors is mostly rounding error.
_OPPOSITE = 1e-3


def straight_through(x: Float[Array, "*b d"], q: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """`q`, with the gradient of `x`: the Jacobian is the identity, and `q` gets none.

    Y. Bengio et al., arXiv 1308.3432; A. van den Oord et al., arXiv 1711.00937.
    """
    return lax.stop_gradient(q) + (x - lax.stop_gradient(x))


def rotate(x: Float[Array, "*b d"], q: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """`q`, with the gradient of the rotation and scaling that takes `x` to it.

    ``s (x - 2 w (w.x) + 2 v (u.x))`` with u, v the directions of x and q, w that of u + v and
    s = |q| / |x|, all constant: the Jacobian is s R, R rotating u onto v, and `q` gets no
    gradient. Straight through where x or q is shorter than 1e-6 or their directions are opposite
    to 1e-3 (C. Fifty et al., arXiv 2410.06424, section 4).
    """
    fixed, q = lax.stop_gradient((x, q))
    u, x_norm = _direction(fixed)
    v, q_norm = _direction(q)
    w, w_norm = _direction(u + v)
    along_w, along_u = (w * x).sum(-1, keepdims=True), (u * x).sum(-1, keepdims=True)
    turned = q_norm / jnp.maximum(x_norm, _SMALL) * (x - 2 * w * along_w + 2 * v * along_u)
    safe = (x_norm > _SMALL) & (q_norm > _SMALL) & (w_norm > _OPPOSITE)
    moved = jnp.where(safe, turned, x)
    return q + (moved - lax.stop_gradient(moved))


def _direction(x: Array) -> tuple[Array, Array]:
    norm = jnp.sqrt(jnp.square(x).sum(-1, keepdims=True))
    return x / jnp.maximum(norm, _SMALL), norm


def gumbel_mixture(
    key: Key[Array, ""],
    x: Float[Array, "b d"],
    codebook: Float[Array, "k d"],
    *,
    temperature: float | Float[Array, ""] = 1.0,
) -> Float[Array, "b d"]:
    """``softmax((g - |x - c|^2) / temperature) C`` with Gumbel noise g: a mixture of codes.

    Gradients reach `x` and every code. Falling temperatures approach one code, drawn with
    probabilities ``softmax(-|x - c|^2)``; use the nearest code outside training (E. Jang et al.,
    arXiv 1611.01144).
    """
    distances = squared_distances(x, codebook)
    noise = jax.random.gumbel(key, distances.shape)
    weights = jax.nn.softmax((noise - distances) / temperature, axis=-1)
    return jnp.dot(weights, codebook.astype(jnp.float32), precision=lax.Precision.HIGHEST)
