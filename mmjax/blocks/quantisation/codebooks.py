"""What codes say about their codebooks: use of the codes, collisions, what is left unexplained.

Measure on the whole corpus: a batch has too few rows to use all codes.

Axes: n rows, l levels, k codes, d features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.quantisation.codes import Codebooks, counts_by_code, lookup


class Use(NamedTuple):
    """How evenly the codes of one level are used, with p the shares of the codes."""

    utilisation: Float[Array, ""]
    """Share of the codes that are used at all."""
    entropy: Float[Array, ""]
    """``-sum p log p``, in nats."""
    perplexity: Float[Array, ""]
    """``exp(entropy)``: as many equally used codes would have this entropy."""
    normalised_entropy: Float[Array, ""]
    """Entropy over its largest value log k, in [0, 1]; 0 for a single code."""


def use(counts: Float[Array, "k"]) -> Use:
    """Statistics of how often each code occurs; zeros but for the perplexity without a row."""
    entropy = _entropy(counts)
    most = jnp.log(jnp.float32(len(counts)))
    return Use(
        (counts > 0).mean(),
        entropy,
        jnp.exp(entropy),
        jnp.where(most > 0, entropy / jnp.maximum(most, 1e-9), 0.0),
    )


def _entropy(counts: Array) -> Array:
    p = counts / jnp.maximum(counts.sum(), 1.0)
    return -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0).sum()


def groups(codes: Int[Array, "n l"]) -> Int[Array, "n"]:
    """A number for each row, from 0, equal exactly where all codes are; in lexicographic order."""
    order = jnp.lexsort(codes.T[::-1])
    rows = codes[order]
    new = (rows[1:] != rows[:-1]).any(1)
    number = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(new, dtype=jnp.int32)])
    return jnp.zeros(len(codes), jnp.int32).at[order].set(number)


class Identity(NamedTuple):
    """How well whole ids tell rows apart."""

    unique_rate: Float[Array, ""]
    """Distinct ids over rows."""
    collision_rate: Float[Array, ""]
    """``(n - distinct) / n``, which LC-Rec selects by; 1 - `unique_rate`."""
    largest_group: Int[Array, ""]
    """Rows of the most frequent id."""
    entropy: Float[Array, ""]
    """Entropy of the ids in nats; log n if all are distinct."""


def identity(codes: Int[Array, "n l"]) -> Identity:
    """Statistics of whole ids, of one row or more."""
    n = codes.shape[0]
    number = groups(codes)
    counts = jnp.bincount(number, length=n)
    unique = (number.max() + 1) / n
    return Identity(unique, 1 - unique, counts.max(), _entropy(counts))


def category_purity(
    codes: Int[Array, "n l"], categories: Int[Array, "n"], *, prefix: bool = True
) -> Float[Array, "l"]:
    """Share of rows in the commonest category of their code, for each level; 1 is pure.

    With `prefix` the rows of a group share all codes up to the level, otherwise the level's
    alone. Compare with the share of the commonest category, what a single code would have; with
    `prefix` it cannot fall from level to level.
    """

    def purity(part: Array) -> Array:
        group, n = groups(part), len(part)
        cell = groups(jnp.stack([group, categories], 1))
        size = jnp.bincount(cell, length=n)
        # Every row knows its group and the size of its cell; the largest of these counts.
        largest = jax.ops.segment_max(size[cell], group, n)
        return jnp.maximum(largest, 0).sum() / n

    levels = range(codes.shape[1])
    return jnp.stack([purity(codes[:, (0 if prefix else m) : m + 1]) for m in levels])


def residual_energy(
    x: Float[Array, "n d"], codes: Int[Array, "n l"], codebooks: Codebooks
) -> Float[Array, "l"]:
    """``sum |z_{m+1}|^2 / sum |z_1|^2`` after every level: what the code leaves of the vectors.

    On centred vectors the last entry is the share of the variance that is not explained.
    """
    residual, energies = x.astype(jnp.float32), []
    total = jnp.square(residual).sum()
    for level, codebook in enumerate(codebooks):
        residual = residual - lookup(codebook.astype(jnp.float32), codes[:, level])
        energies.append(jnp.square(residual).sum())
    return jnp.stack(energies) / jnp.maximum(total, 1e-30)


def summary(
    codes: Int[Array, "n l"], sizes: Sequence[int], categories: Int[Array, "n"] | None = None
) -> dict[str, Array]:
    """Scalars to log, by slash names: ``level_1/utilisation``, ..., ``ids/collision_rate``.

    Args:
        codes: of the whole corpus.
        sizes: codes of each level.
        categories: adds ``level_1/purity``, ...

    Raises:
        ValueError: the number of sizes is not that of the levels.
    """
    if len(sizes) != codes.shape[1]:
        raise ValueError(f"summary: codes of {codes.shape[1]} levels, but {len(sizes)} sizes")
    found: dict[str, Array] = {}
    for level, size in enumerate(sizes):
        numbers = use(counts_by_code(codes[:, level], size=size))
        found |= {f"level_{level + 1}/{k}": v for k, v in numbers._asdict().items()}
    if categories is not None:
        purity = category_purity(codes, categories)
        found |= {f"level_{m + 1}/purity": purity[m] for m in range(len(sizes))}
    return found | {f"ids/{k}": v for k, v in identity(codes)._asdict().items()}
