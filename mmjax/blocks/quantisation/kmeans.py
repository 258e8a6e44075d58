"""k-means with k-means++ seeding, and residual k-means, for first codebooks.

All run a fixed number of rounds, so that they compile once.

Axes: n rows, d features, k clusters, l levels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, Key

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation.codes import counts_by_code, lookup, nearest, sums_by_code


class Clusters(NamedTuple):
    """What `kmeans` finds."""

    centres: Float[Array, "k d"]
    codes: Int[Array, "n"]
    """The nearest centre of each row."""


def seed_centres(key: Key[Array, ""], x: Float[Array, "n d"], k: int) -> Float[Array, "k d"]:
    """k-means++: rows drawn one by one with probability ``D(x)^2`` to the nearest drawn so far.

    Where all rows lie on a drawn one, further draws are uniform (D. Arthur, S. Vassilvitskii,
    SODA 2007).

    Raises:
        ValueError: k is not in [1, n].
    """
    _check_rows(x.shape[0], k)
    x = lax.stop_gradient(x.astype(jnp.float32))
    k_first, k_rest = jax.random.split(key)
    first = x[jax.random.randint(k_first, (), 0, x.shape[0])]

    def draw(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        centres, least = carry
        weights = jnp.where(least.max() > 0, least, jnp.ones_like(least))
        row = jax.random.categorical(jax.random.fold_in(k_rest, i), jnp.log(weights))
        centre = x[row]
        return centres.at[i].set(centre), jnp.minimum(least, _distance(x, centre))

    centres = jnp.zeros((k, x.shape[1])).at[0].set(first)
    return lax.fori_loop(1, k, draw, (centres, _distance(x, first)))[0]


def _distance(x: Array, centre: Array) -> Array:
    return jnp.square(x - centre[None, :]).sum(1)


def _check_rows(rows: int, k: int) -> None:
    if not 1 <= k <= rows:
        raise ValueError(
            f"k-means: {k} clusters of {rows} rows; give at least as many rows as clusters "
            "(20,000 rows or more make good codebooks)"
        )


@partial(jax.jit, static_argnames=("k", "rounds", "seeding"))
def kmeans(
    key: Key[Array, ""],
    x: Float[Array, "n d"],
    k: int,
    *,
    rounds: int = 20,
    seeding: Literal["++", "rows"] = "++",
) -> Clusters:
    """Lloyd's algorithm: `rounds` times assign every row to its nearest centre and average.

    The empty clusters of a round move to the rows farthest from their centres, a row each, so
    that with k distinct rows or more none stays empty for long.

    Args:
        key: for the seeds.
        x: rows, all on this device.
        k: number of clusters.
        rounds: Lloyd steps, 0 or more.
        seeding: k-means++, or distinct "rows" drawn uniformly.

    Raises:
        ValueError: k is not in [1, n], or an unknown seeding.
    """
    _check_rows(x.shape[0], k)
    x = lax.stop_gradient(x.astype(jnp.float32))
    if seeding == "++":
        centres = seed_centres(key, x, k)
    elif seeding == "rows":
        centres = x[jax.random.choice(key, x.shape[0], (k,), replace=False)]
    else:
        raise ValueError(f"kmeans: seeding = {seeding!r}; choose '++' or 'rows'")
    centres = lax.fori_loop(0, rounds, lambda _, c: lloyd(x, c), centres)
    return Clusters(centres, nearest(x, centres))


def lloyd(x: Float[Array, "n d"], centres: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """One round: the mean of each centre's rows; empty ones move to the worst fitted rows."""
    k = centres.shape[0]
    codes = nearest(x, centres)
    # How far rows are from their centre: a sum of many large rows would lose their differences.
    moves = sums_by_code(x - lookup(centres, codes), codes, size=k)
    counts = counts_by_code(codes, size=k)
    empty = counts == 0
    means = centres + moves / jnp.maximum(counts, 1.0)[:, None]

    def refill() -> Array:
        errors = jnp.square(x - lookup(centres, codes)).sum(1)
        worst = lax.top_k(errors, min(k, x.shape[0]))[1]
        taken = x[worst[jnp.maximum(jnp.cumsum(empty) - 1, 0)]]
        return jnp.where(empty[:, None], taken, means)

    return lax.cond(empty.any(), refill, lambda: means)


def residual_kmeans(
    key: Key[Array, ""],
    x: Float[Array, "n d"],
    sizes: Sequence[int],
    *,
    rounds: int = 20,
    seeding: Literal["++", "rows"] = "++",
    normalise: bool = False,
) -> tuple[list[Float[Array, "_ d"]], Int[Array, "n l"]]:
    """k-means on `x`, then on what it leaves, level by level: codebooks and the rows' codes.

    `normalise` scales every residual to length one before its level, as GRID does; encode with
    the same option (RQ-Kmeans: OneRec, arXiv 2502.18965; GRID, arXiv 2507.22224).

    Raises:
        ValueError: no level, or a size is not in [1, n].
    """
    if not sizes:
        raise ValueError("residual_kmeans: no sizes; give the number of codes of each level")
    codebooks, codes = [], []
    for level, size in enumerate(sizes):
        x = l2_normalise(x) if normalise else x
        k_level = jax.random.fold_in(key, level)
        found = kmeans(k_level, x, size, rounds=rounds, seeding=seeding)
        codebooks.append(found.centres)
        codes.append(found.codes)
        x = x - lookup(found.centres, found.codes).astype(x.dtype)
    return codebooks, jnp.stack(codes, 1)


def init_codebooks(
    key: Key[Array, ""],
    sizes: Sequence[int],
    sample: Float[Array, "n d"],
    *,
    method: Literal["uniform", "kmeans", "residual_kmeans"] = "residual_kmeans",
    rounds: int = 20,
) -> list[Float[Array, "_ d"]]:
    """First codebooks of the given `sizes` for vectors like `sample`.

    Args:
        key: for the draws.
        sizes: codes of each level.
        sample: vectors that the first level will quantise; 20,000 make better codebooks than a
            batch.
        method: "uniform" draws U(-1/k, 1/k) (LC-Rec, MMGRec); "kmeans" fits every level to the
            sample itself (one codebook that all levels share); "residual_kmeans" fits each level
            to what the earlier ones leave.
        rounds: of k-means.

    Raises:
        ValueError: an unknown method, or fewer rows than codes for k-means.
    """
    keys = [jax.random.fold_in(key, level) for level in range(len(sizes))]
    levels = list(zip(keys, sizes, strict=True))
    if method == "uniform":
        shapes = [(k, (size, sample.shape[1])) for k, size in levels]
        return [jax.random.uniform(k, s, minval=-1 / s[0], maxval=1 / s[0]) for k, s in shapes]
    if method == "kmeans":
        return [kmeans(k, sample, size, rounds=rounds).centres for k, size in levels]
    if method == "residual_kmeans":
        return residual_kmeans(key, sample, sizes, rounds=rounds)[0]
    raise ValueError(
        f"init_codebooks: method = {method!r}; choose 'uniform', 'kmeans' or 'residual_kmeans'"
    )
