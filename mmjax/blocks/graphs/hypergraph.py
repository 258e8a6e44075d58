"""Soft hyperedges (LGMRec, Z. Guo et al., AAAI 2024, arXiv 2312.16400).

Axes: n rows, u users, i items, h hyperedges, d features.
"""

import jax
from jax import Array
from jaxtyping import Float, Key


def gumbel_softmax(
    key: Key[Array, ""] | None, logits: Float[Array, "n h"], *, temperature: float = 0.2
) -> Float[Array, "n h"]:
    """``softmax((logits + Gumbel noise) / temperature)``; rows sum to one, nothing is rounded.

    `key` None leaves the noise out. A temperature towards 0 samples one entry of each row from
    ``softmax(logits)`` (E. Jang et al., arXiv 1611.01144).
    """
    noise = 0.0 if key is None else jax.random.gumbel(key, logits.shape, logits.dtype)
    return jax.nn.softmax((logits + noise) / temperature, axis=1)


def hyper_propagate(
    users: Float[Array, "u h"],
    items: Float[Array, "i h"],
    x: Float[Array, "i d"],
    *,
    layers: int = 1,
) -> tuple[Float[Array, "u d"], Float[Array, "i d"]]:
    """Item vectors through hyperedges: ``e = (h/i) H_i' x``, then ``H_u e`` and ``x <- H_i e``.

    Memberships H weigh each node's hyperedges. The factor h/i keeps sums over all items, which
    would grow with every layer, at the size of a mean; the paper has none and normalises the
    result, which is then the same.

    Raises:
        ValueError: `layers` is less than 1.
    """
    if layers < 1:
        raise ValueError(f"layers must be >= 1, got {layers}")
    mean = items.T * (items.shape[1] / items.shape[0])
    edges = mean @ x
    for _ in range(layers - 1):
        edges = mean @ (items @ edges)
    return users @ edges, items @ edges
