"""Chunked vectors: a factor of the vector for each attribute, and losses that keep factors apart.

AD-DRL (Z. Li et al., ACM MM 2024, arXiv 2312.14433), which follows DMRL (F. Liu et al., TMM 2022).

Axes: n rows, a factors, c = d / a features of a factor, m modalities, k negatives, b users,
i items.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses.pairwise import bpr


def chunks(x: Float[Array, "*n d"], factors: int) -> Float[Array, "*n a c"]:
    """A vector cut into equally wide factors, in order.

    Raises:
        ValueError: the width is no multiple of `factors`.
    """
    if factors < 1 or x.shape[-1] % factors:
        raise ValueError(f"a width of {x.shape[-1]} cannot be cut into {factors} equal factors")
    return x.reshape(*x.shape[:-1], factors, -1)


def modality_weights(
    views: Float[Array, "*n a m c"],
    w1: Float[Array, "c m"],
    b1: Float[Array, "m"],
    w2: Float[Array, "m m"],
    b2: Float[Array, "m"],
    *,
    double_softmax: bool = False,
) -> Float[Array, "*n a m"]:
    """Share of each modality in a factor: ``softmax(tanh(q w1 + b1) w2 + b2)``, q the unit sum.

    One attention serves all factors and no user is seen, so that the fused factor belongs to the
    item alone. `double_softmax` applies the softmax twice, as the released code does: with three
    modalities no share can then leave [1/(2 + e), e/(2 + e)].
    """
    q = l2_normalise(views.sum(-2))
    highest = lax.Precision.HIGHEST
    hidden = jnp.tanh(_plus(jnp.dot(q, w1, precision=highest), b1))
    shares = jax.nn.softmax(_plus(jnp.dot(hidden, w2, precision=highest), b2))
    return jax.nn.softmax(shares) if double_softmax else shares


def _plus(x: Array, bias: Array) -> Array:
    return x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


def fuse(
    views: Float[Array, "*n a m c"], weights: Float[Array, "*n a m"]
) -> Float[Array, "*n a c"]:
    """Weighted sum of the unit views of each factor; its norm is at most one."""
    return (weights[..., None] * l2_normalise(views)).sum(-2)


def factor_scores(
    user: Float[Array, "*u a c"], fused: Float[Array, "*i a c"]
) -> Float[Array, "... a"]:
    """``softplus(unit(user) . fused)`` of each factor, in [softplus(-1), softplus(1)].

    The leading axes of the two broadcast.
    """
    return jax.nn.softplus((l2_normalise(user) * fused).sum(-1))


def score(
    users: Float[Array, "b d"],
    items: Float[Array, "i d"],
    weights: Float[Array, "a"] | None = None,
    *,
    factors: int,
) -> Float[Array, "b i"]:
    """``sum_a weights_a softplus(users_a . items_a)`` for all pairs, by one product a factor.

    Args:
        users: unit factors of each user, side by side.
        items: fused factors of each item, side by side.
        weights: at least 0, the say of each factor (0 takes an attribute out, one-hot ranks by
            it alone); None counts all factors once.
        factors: number of factors.

    Raises:
        ValueError: the width is no multiple of `factors`.
    """
    u, v = chunks(users, factors), chunks(items, factors)
    if weights is None:
        weights = jnp.ones(factors)
    total = jnp.zeros((users.shape[0], items.shape[0]))
    for a in range(factors):
        inner = jnp.dot(
            u[:, a],
            v[:, a].T,
            precision=lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )
        total = total + weights[a] * jax.nn.softplus(inner)
    return total


def hardest_bpr(pos: Float[Array, "n"], negs: Float[Array, "n k"]) -> Float[Array, "n"]:
    """BPR against the highest scored of the drawn negatives, which alone gets a gradient."""
    hardest = jnp.argmax(negs, axis=-1, keepdims=True)
    return bpr(pos, jnp.take_along_axis(negs, hardest, axis=-1)[:, 0])


def which_factor(logits: Float[Array, "*n a a"]) -> Float[Array, "*n"]:
    """Cross-entropy of naming each factor by its place, summed over the factors.

    ``logits[..., a, :]`` are a classifier's scores for the chunk at place a. Equal logits give
    ``a log a``.
    """
    own = jnp.diagonal(logits, axis1=-2, axis2=-1)
    return (jax.nn.logsumexp(logits, axis=-1) - own).sum(-1)


def inter_modality(
    x: Float[Array, "*n a c"], y: Float[Array, "*n a c"], *, temperature: float = 1.0
) -> Float[Array, "*n"]:
    """Inside one item, each factor of one modality must pick its fellow among the other's.

    Both directions of the cross-entropy over the inner products ``x_b . y_a / temperature``, which
    are not normalised, summed over the factors. Zeros give ``2 a log a``.
    """
    logits = jnp.einsum("...bc,...ac->...ab", x, y, precision=lax.Precision.HIGHEST) / temperature
    return which_factor(logits) + which_factor(jnp.swapaxes(logits, -1, -2))
