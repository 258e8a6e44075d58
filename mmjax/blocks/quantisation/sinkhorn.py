"""Balanced assignment to codes by Sinkhorn's iterations, in the log domain.

Axes: b rows of this device's share, k codes, d features.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from mmjax.blocks.common.collectives import global_sum, over_devices
from mmjax.blocks.quantisation.codes import squared_distances


def log_assignment(
    costs: Float[Array, "b k"],
    *,
    eps: float = 0.003,
    rounds: int = 50,
    where: Bool[Array, "b"] | None = None,
    axis: str | None = None,
) -> Float[Array, "b k"]:
    """Logarithm of ``Q = diag(f) exp(-costs / eps) diag(g)`` whose rows sum to 1 and columns to
    rows / k.

    A round scales the rows, then the columns; after the last one column sums are exact and row
    sums as near as `rounds` bring them. Sums are logarithms of sums, so that an `eps` whose
    exponentials underflow works in float32 (M. Cuturi, NIPS 2013; SwAV, arXiv 2006.09882).

    Args:
        costs: of giving a row a code.
        eps: above 0; large ones give the uniform Q, small ones the cheapest balanced assignment.
        rounds: 1 or more.
        where: rows that count; the others get -inf. None means all.
        axis: mapped axis over which the rows are split, if any.

    Raises:
        ValueError: `eps` is not positive or `rounds` below 1.
    """
    if eps <= 0 or rounds < 1:
        raise ValueError(f"eps = {eps}, rounds = {rounds}; give eps > 0 and 1 round or more")
    b, k = costs.shape
    where = jnp.ones(b, bool) if where is None else where
    scores = jnp.where(where[:, None], -costs.astype(jnp.float32) / eps, -jnp.inf)
    count = global_sum(where.astype(jnp.float32), axis)
    share = jnp.log(jnp.maximum(count, 1.0) / k)

    def by_row(g: Array) -> Array:
        total = jax.nn.logsumexp(scores + g[None, :], axis=1)
        return jnp.where(where, -total, 0.0)

    def one(_: int | Array, g: Array) -> Array:
        return share - _column_logsumexp(scores + by_row(g)[:, None], axis)

    before = lax.fori_loop(0, rounds - 1, one, jnp.zeros(k))
    return scores + by_row(before)[:, None] + one(0, before)[None, :]


def _column_logsumexp(x: Array, axis: str | None) -> Array:
    if axis is None:
        return jax.nn.logsumexp(x, axis=0)
    top = lax.pmax(x.max(0), axis)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    return jnp.log(over_devices(jnp.exp(x - top[None, :]).sum(0), axis)) + top


def balanced(
    x: Float[Array, "b d"],
    codebook: Float[Array, "k d"],
    *,
    eps: float = 0.003,
    rounds: int = 50,
    where: Bool[Array, "b"] | None = None,
    axis: str | None = None,
) -> Int[Array, "b"]:
    """Codes that use the codebook evenly: the largest entry of each row of `log_assignment`.

    Costs are squared distances, centred and scaled to [-1, 1] by their extremes as LC-Rec does
    (arXiv 2311.09049), so that one `eps` serves all scales. LC-Rec uses 0.003 on the last level,
    to keep items apart, and the nearest code before. It balances the rows it is given, so the
    codes of a row depend on the others. Options are those of `log_assignment`; no gradient.
    """
    costs = lax.stop_gradient(squared_distances(x, codebook))
    real = jnp.ones(x.shape[0], bool) if where is None else where
    high = jnp.where(real[:, None], costs, -jnp.inf).max()
    low = jnp.where(real[:, None], costs, jnp.inf).min()
    if axis is not None:
        high, low = lax.pmax(high, axis), lax.pmin(low, axis)
    middle = (high + low) / 2
    centred = (costs - middle) / (high - middle + 1e-5)
    q = log_assignment(centred, eps=eps, rounds=rounds, where=where, axis=axis)
    return q.argmax(1).astype(jnp.int32)
