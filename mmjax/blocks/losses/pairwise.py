"""Losses of recommendation and contrastive learning: one value per example, the caller reduces.

Whatever the inputs' dtype, values are float32 and sums are accumulated in float32. Arguments whose
shapes do not belong together, and would broadcast to a wrong value, are an AssertionError of chex.

Axes: b examples, k negatives, t tokens, n candidates, d features.
"""

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from mmjax.blocks.common.collectives import global_sum
from mmjax.blocks.common.projection import l2_normalise

_LEAST_FIXED_SHIFT = 0.03


def bpr(pos: Float[Array, "*b"], neg: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Bayesian personalised ranking: ``-log sigmoid(pos - neg)``, per pair of scores.

    Finite, with a finite gradient, for every finite pair: a difference beyond float32 counts as
    its largest number, with gradient zero (S. Rendle et al., UAI 2009, arXiv 1205.2618).
    """
    chex.assert_equal_shape((pos, neg))
    return jax.nn.softplus(_finite(neg.astype(jnp.float32) - pos.astype(jnp.float32)))


def _finite(x: Array) -> Array:
    """Infinities of a difference of finite numbers as the largest numbers."""
    most = jnp.finfo(x.dtype).max
    return jnp.clip(x, -most, most)


def info_bpr(pos: Float[Array, "b"], negs: Float[Array, "b k"]) -> Float[Array, "b"]:
    """``-log softmax`` over [pos; negs] at the positive; with k = 1 it is `bpr`, with 0 zero.

    Equal scores give ``log(1 + k)`` (MGDCF, arXiv 2204.02338; MIG-GT, arXiv 2412.13994).
    """
    chex.assert_rank((pos, negs), (1, 2))
    chex.assert_equal_shape_prefix((pos, negs), 1)
    margins = _finite(negs.astype(jnp.float32) - pos.astype(jnp.float32)[:, None])
    return jax.nn.logsumexp(jnp.pad(margins, ((0, 0), (1, 0))), axis=1)


def tur(user: Float[Array, "b d"], tokens: Float[Array, "b t d"]) -> Float[Array, "b"]:
    """Transformer unsmooth regularisation: the item's own token must beat its sampled tokens.

    `tokens` holds the item's own token first. `info_bpr` on the inner products of the user with
    the tokens; where those exist already, call `info_bpr` (MIG-GT, arXiv 2412.13994).
    """
    chex.assert_rank((user, tokens), (2, 3))
    scores = jnp.einsum("bd,btd->bt", user, tokens, preferred_element_type=jnp.float32)
    return info_bpr(scores[:, 0], scores[:, 1:])


def info_nce(
    a: Float[Array, "b d"],
    b: Float[Array, "n d"],
    *,
    temperature: float | Float[Array, ""] = 0.2,
    positive: Int[Array, "b"] | None = None,
    where: Bool[Array, "n"] | None = None,
    cosine: bool = True,
) -> Float[Array, "b"]:
    """InfoNCE in one direction: ``-log softmax(cos(a_r, b_q) / temperature)`` at r's positive.

    The positive stays in the denominator; equal candidates are not merged, so with all rows equal
    it is ``log(n)`` (A. van den Oord et al., arXiv 1807.03748; as MMRec's models use it).

    Args:
        a: anchors.
        b: candidates; over several devices the gathered rows of all of them.
        temperature: above 0.
        positive: each anchor's candidate, in [0, n); None pairs row r with row r (then n = b).
        where: candidates that count; False ones, such as the padding of a last batch, are left
            out of every denominator. An anchor whose positive is left out gets infinity, and no
            gradient.
        cosine: compare by cosine; False compares by inner product, the cross-entropy of a
            softmax over the candidates.

    Raises:
        ValueError: `positive` is None and the numbers of rows differ.
    """
    if positive is None and a.shape[0] != b.shape[0]:
        raise ValueError(
            f"info_nce: {a.shape[0]} anchors and {b.shape[0]} candidates cannot be paired row "
            "by row; pass positive=, the index of each anchor's candidate"
        )
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    if cosine:
        a, b = l2_normalise(a), l2_normalise(b)
    a = a / temperature
    own = (a * (b if positive is None else b[positive])).sum(1)
    logits = a @ b.T
    if where is None:
        return _log_total(logits, temperature, None, cosine) - own
    # Without a candidate that counts, the logarithm would have the gradient 0 * (1 / 0).
    counts = where if positive is None else where[positive]
    total = _log_total(logits, temperature, where | ~where.any(), cosine)
    return jnp.where(counts, total - own, jnp.inf)


def _log_total(
    logits: Array, temperature: float | Array, where: Array | None, cosine: bool
) -> Array:
    """Logarithm of the summed exponentials of each row's candidates."""
    # Cosines end at one, so their largest logit is known and one pass over [b n] is saved;
    # below this temperature a row of opposite candidates would underflow.
    if cosine and isinstance(temperature, float | int) and temperature >= _LEAST_FIXED_SHIFT:
        weights = jnp.exp(logits - 1.0 / temperature)
        total = weights.sum(1) if where is None else weights @ where.astype(jnp.float32)
        return jnp.log(total) + 1.0 / temperature
    return jax.nn.logsumexp(logits, axis=1, where=None if where is None else where[None, :])


def emb_loss(
    *rows: Float[Array, "b ..."],
    where: Bool[Array, "b"] | None = None,
    axis: str | None = None,
) -> Float[Array, ""]:
    """Sum of the Frobenius norms (not squared) of the batch's embeddings, over the batch size.

    A norm is not a sum over examples, hence a scalar. Doubling all rows doubles it. The gradient
    at a zero matrix is zero (MMRec's `EmbLoss`).

    Args:
        rows: the batch's rows of one or more tables.
        where: rows that count, for the norms and for the batch size; None means all.
        axis: mapped axis over which the batch is split, if any.
    """
    chex.assert_equal_shape_prefix(rows, 1)
    total = jnp.zeros(())
    for x in rows:
        squared = global_sum(jnp.square(x.astype(jnp.float32)), axis, where=where)
        positive = squared > 0
        total += jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
    ones = jnp.ones(rows[0].shape[:1])
    return total / jnp.maximum(global_sum(ones, axis, where=where), 1.0)


def sq_loss(*rows: Float[Array, "b ..."]) -> Float[Array, "b"]:
    """Half the squared norm of each example's embeddings, summed over the tables.

    MMRec's `L2Loss` is its sum over the configured batch size, also for a short last batch.
    """
    chex.assert_equal_shape_prefix(rows, 1)
    squares = [jnp.square(x.astype(jnp.float32)).reshape(x.shape[0], -1).sum(1) for x in rows]
    return 0.5 * sum(squares[1:], squares[0])


def half_square(x: Float[Array, "*n"]) -> Float[Array, ""]:
    """Half the squared Frobenius norm of an array: weight decay as a loss term."""
    return 0.5 * jnp.square(x.astype(jnp.float32)).sum()
