"""Weighted binary cross-entropy on single scores, as UltraGCN weighs it.

Axes: p pairs, u users, i items, b examples, k negatives.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int


def degree_factors(
    pairs: Int[np.ndarray, "p 2"], n_users: int, n_items: int
) -> tuple[Float[np.ndarray, "u"], Float[np.ndarray, "i"]]:
    """``sqrt(d_u + 1) / d_u`` of every user and ``1 / sqrt(d_i + 1)`` of every item, float32.

    d counts a node's pairs; a user without any is given d = 1. Their product over a pair is the
    weight that infinitely many graph convolutions leave on it (UltraGCN, K. Mao et al., CIKM
    2021, arXiv 2110.15114).
    """
    users = np.maximum(np.bincount(pairs[:, 0], minlength=n_users), 1)
    items = np.bincount(pairs[:, 1], minlength=n_items)
    return (np.sqrt(users + 1) / users).astype(np.float32), (items + 1.0).astype(np.float32) ** -0.5


def weighted_bce(scores: Float[Array, "b n"], weights: Float[Array, "b n"]) -> Float[Array, "b"]:
    """``w_0 softplus(-s_0) + mean over j >= 1 of w_j softplus(s_j)``: the positive comes first.

    Scores of zero with weights of one give ``2 log 2``; without negatives the mean is zero
    (UltraGCN, arXiv 2110.15114, with the negatives averaged).

    Raises:
        AssertionError: the shapes differ, and would broadcast.
    """
    chex.assert_equal_shape((scores, weights))
    s, w = scores.astype(jnp.float32), weights.astype(jnp.float32)
    negatives = (w[:, 1:] * jax.nn.softplus(s[:, 1:])).sum(1) / max(1, s.shape[1] - 1)
    return w[:, 0] * jax.nn.softplus(-s[:, 0]) + negatives
