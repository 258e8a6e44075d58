"""Codebooks that follow their members by moving averages, and the revival of unused codes.

Axes: b rows of this device, n rows of the whole batch, k codes, d features.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int, Key

from mmjax.blocks.common.collectives import gather, over_devices
from mmjax.blocks.quantisation.codes import counts_by_code, sums_by_code


class Averages(NamedTuple):
    """Moving averages of how many members each code has, and of their sum."""

    counts: Float[Array, "k"]
    sums: Float[Array, "k d"]


def averages(codebook: Float[Array, "k d"], counts: Float[Array, "k"] | None = None) -> Averages:
    """The averages that stand for a codebook at the start: one member each, itself.

    Give the members' `counts` where they are known, as after k-means: a code that starts with
    fewer than the threshold of `revive` is replaced in the first step.
    """
    codebook = codebook.astype(jnp.float32)
    counts = jnp.ones(len(codebook)) if counts is None else counts
    return Averages(counts, counts[:, None] * codebook)


def follow(
    old: Averages,
    x: Float[Array, "b d"],
    codes: Int[Array, "b"],
    *,
    decay: float = 0.99,
    axis: str | None = None,
) -> Averages:
    """``N <- decay N + (1 - decay) n`` and likewise for the sums, n and s of the whole batch.

    Args:
        old: averages before the batch.
        x: what each row's code was chosen for.
        codes: -1 for rows that do not count.
        decay: in [0, 1); 0.8 to 0.99 are usual.
        axis: mapped axis over which the batch is split, if any.

    Raises:
        ValueError: `decay` is not in [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"follow: decay = {decay}; it must lie in [0, 1)")
    k = old.counts.shape[0]
    x = lax.stop_gradient(x)
    new = Averages(counts_by_code(codes, size=k), sums_by_code(x, codes, size=k))
    new = over_devices(new, axis)
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, old, new)


def followed_codebook(
    state: Averages, previous: Float[Array, "k d"], *, eps: float = 1e-5
) -> Float[Array, "k d"]:
    """Each code's mean member ``S_k / ((N_k + eps) / (sum N + K eps) * sum N)``.

    The Laplace smoothing by `eps` draws codes with hardly any members towards zero; a code with
    none at all (N_k = 0) keeps its `previous` vector (A. van den Oord et al., arXiv 1711.00937,
    appendix A; smoothing as in Sonnet).
    """
    total = state.counts.sum()
    smoothed = (state.counts + eps) / (total + len(state.counts) * eps) * total
    seen = (state.counts > 0)[:, None]
    mean = state.sums / jnp.where(seen, smoothed[:, None], 1.0)
    return jnp.where(seen, mean, previous.astype(jnp.float32))


class Revived(NamedTuple):
    """What `revive` returns."""

    codebook: Float[Array, "k d"]
    state: Averages
    dead: Bool[Array, "k"]
    """Which codes were replaced."""


def revive(
    key: Key[Array, ""],
    codebook: Float[Array, "k d"],
    state: Averages,
    x: Float[Array, "b d"],
    *,
    threshold: float = 2.0,
    where: Bool[Array, "b"] | None = None,
    axis: str | None = None,
) -> Revived:
    """Replace the codes of fewer than `threshold` members by random rows of the whole batch.

    A replaced code starts with `threshold` members at its vector. Different codes get different
    rows as long as there are enough; without any row that counts nothing is replaced. All
    devices make the same choice (P. Dhariwal et al., Jukebox, arXiv 2005.00341; counts as in
    lucidrains' vector-quantize-pytorch).

    Args:
        key: the same on all devices.
        codebook: vectors of the codes.
        state: their averages.
        x: candidates, which are what this level quantises.
        threshold: fewest members of a living code.
        where: candidates that count; None means all.
        axis: mapped axis over which the batch is split, if any.
    """
    codebook = codebook.astype(jnp.float32)
    real = gather(jnp.ones(x.shape[0], bool) if where is None else where, axis)
    dead = (state.counts < threshold) & real.any()
    # Drawn outside of the branch: vmapped, a branch may read its operands twice, a key only once.
    draws = jax.random.uniform(key, dead.shape)

    def replace() -> tuple[Array, Averages]:
        rows = lax.stop_gradient(gather(x.astype(jnp.float32), axis))
        chosen = rows[_spread_rows(draws, real, dead)]
        counts = jnp.where(dead, threshold, state.counts)
        sums = jnp.where(dead[:, None], threshold * chosen, state.sums)
        return jnp.where(dead[:, None], chosen, codebook), Averages(counts, sums)

    codebook, state = lax.cond(dead.any(), replace, lambda: (codebook, state))
    return Revived(codebook, state, dead)


def _spread_rows(draws: Array, real: Array, dead: Array) -> Array:
    """A row for each code: the real rows are cut into as many runs as there are dead codes, and
    each of these draws from a run of its own. It needs no sort of the rows."""
    n, runs = real.sum(), jnp.maximum(dead.sum(), 1)
    run = jnp.clip(jnp.cumsum(dead) - 1, 0, runs - 1)

    def first(r: Array) -> Array:
        return r * (n // runs) + r * (n % runs) // runs

    length = first(run + 1) - first(run)
    place = first(run) + (draws * length).astype(jnp.int32)
    place = jnp.minimum(place, n - 1)
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(real), place + 1), real.shape[0] - 1)
