"""Contrast of a batch with itself, the same on any number of devices.

Axes: b rows of this device's share of the batch, n rows of a table, d features.
"""

import itertools
from collections.abc import Sequence

import chex
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from mmjax.blocks.common.collectives import gather, global_mean, global_sum
from mmjax.blocks.losses.pairwise import info_nce


def in_batch(
    a: Float[Array, "b d"],
    b: Float[Array, "b d"],
    *,
    temperature: float | Float[Array, ""] = 0.2,
    where: Bool[Array, "b"],
    axis: str | None = None,
    cosine: bool = True,
) -> Float[Array, ""]:
    """Mean `losses.info_nce` of row r of `a` against the rows of `b`, of which row r is positive.

    Over several devices the candidates are the rows of all of them.

    Args:
        a: anchors.
        b: candidates, paired with the anchors row by row.
        temperature: above 0.
        where: rows that count, as anchors and as candidates.
        axis: mapped axis over which the batch is split, if any.
        cosine: compare by cosine; False by inner product.

    Raises:
        AssertionError: the rows of `a`, `b` and `where` are not paired.
    """
    chex.assert_equal_shape((a, b))
    chex.assert_equal_shape_prefix((a, where), 1)
    first = 0 if axis is None else lax.axis_index(axis) * a.shape[0]
    losses = info_nce(
        a,
        gather(b, axis),
        temperature=temperature,
        positive=first + jnp.arange(a.shape[0]),
        where=gather(where, axis),
        cosine=cosine,
    )
    return global_mean(losses, axis, where=where)


def between_tables(
    tables: Sequence[Float[Array, "n d"]],
    ids: Int[Array, "b"],
    *,
    temperature: float | Float[Array, ""] = 0.2,
    where: Bool[Array, "b"],
    axis: str | None = None,
) -> Float[Array, ""]:
    """`losses.info_nce` of row `ids` of one table against all rows of another, which has it too.

    Summed over the rows of the batch and over all pairs of tables, the earlier one as anchor; zero
    for a single table (LGMRec, arXiv 2312.16400: global vectors of two modalities).
    """
    total = jnp.zeros(())
    for a, b in itertools.combinations(tables, 2):
        losses = info_nce(a[ids], b, temperature=temperature, positive=ids)
        total += global_sum(losses, axis, where=where)
    return total
