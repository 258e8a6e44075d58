"""Products over a sampling pattern: every row reads a few rows of a table, without a scatter.

`table[index]` is cheap to read, but its gradient is a scatter-add, the slowest instruction of a
step on CPU and a non-deterministic one on GPU. A `Pattern` therefore carries the transposed
sampling (who reads table row j?), found by one sort per draw and shared by every product on it.

Axes: n rows, s samples a row, i rows of the table, d features, a narrow features.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.blocks.graphs.sparse import csr_product

_UINT32 = 1 << 32


class Transposed(NamedTuple):
    """Readers of each table row, for a group of columns of the pattern, as CSR."""

    slot: Int[Array, "e"]
    """Flat position ``row * s + column`` of each read, ordered by the table row it reads."""
    start: Int[Array, "i1"]
    """Where the readers of each table row begin in `slot`; length i + 1."""


class Pattern(NamedTuple):
    """Which table rows each row reads, and the same seen from the table."""

    index: Int[Array, "n s"]
    readers: tuple[Transposed, ...]


def pattern(index: Int[Array, "n s"], size: int) -> Pattern:
    """Transpose a sampling `index` (values in [0, size)) into a `Pattern`.

    Sorts one packed integer (table row, reading slot) per read: a sort without payload, several
    times faster than an argsort. Columns are grouped so that the packed integer fits 32 bits.
    """
    n, s = index.shape
    columns = min(s, (_UINT32 - 1) // max(1, n * size))
    if columns < 1:
        return Pattern(index, (_by_argsort(index, size),) if s else ())
    groups = range(0, s, columns)
    return Pattern(index, tuple(_by_sort(index, c, min(c + columns, s), size) for c in groups))


def _by_sort(index: Array, first: int, last: int, size: int) -> Transposed:
    n, s = index.shape
    width = last - first
    local = jnp.arange(n * width, dtype=jnp.uint32)
    packed = jnp.sort(index[:, first:last].ravel().astype(jnp.uint32) * (n * width) + local)
    bounds = jnp.arange(size, dtype=jnp.uint32) * np.uint32(n * width)
    start = jnp.searchsorted(packed, bounds, method="scan").astype(jnp.int32)
    local = packed % np.uint32(n * width)
    slot = (local // width) * s + first + local % width
    return Transposed(slot.astype(jnp.int32), jnp.append(start, jnp.int32(n * width)))


def _by_argsort(index: Array, size: int) -> Transposed:
    flat = index.ravel()
    slot = jnp.argsort(flat).astype(jnp.int32)
    start = jnp.searchsorted(flat[slot], jnp.arange(size + 1)).astype(jnp.int32)
    return Transposed(slot, start)


def _take(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _spread(weights: Array, rows: Array, p: Pattern, size: int) -> Array:
    """Sum over the reads of table row j of weight * row, for every j."""
    s = p.index.shape[1]
    out = jnp.zeros((size, rows.shape[1]), rows.dtype)
    for t in p.readers:
        out = out + csr_product(_take(weights.ravel(), t.slot), t.slot // s, t.start, rows)
    return out


@jax.custom_vjp
def gather_sum(
    weights: Float[Array, "n s"], table: Float[Array, "i d"], p: Pattern
) -> Float[Array, "n d"]:
    """``y[n] = sum_s weights[n, s] * table[index[n, s]]``; nothing of size n x s x d exists.

    Summed in float32 at least; the result has the dtype of the table.
    """
    if p.index.shape[1] == 0:
        return jnp.zeros((p.index.shape[0], table.shape[1]), table.dtype)

    def add(total: Array, column: tuple[Array, Array]) -> tuple[Array, None]:
        w, j = column
        return total + w[:, None].astype(wide) * _take(table, j).astype(wide), None

    wide = jnp.promote_types(jnp.promote_types(weights.dtype, table.dtype), jnp.float32)
    zero = jnp.zeros((p.index.shape[0], table.shape[1]), wide)
    total = lax.scan(add, zero, (weights.T, p.index.T), unroll=min(4, p.index.shape[1]))[0]
    return total.astype(table.dtype)


@jax.custom_vjp
def gather_dot(
    rows: Float[Array, "n d"], table: Float[Array, "i d"], p: Pattern
) -> Float[Array, "n s"]:
    """``y[n, s] = rows[n] . table[index[n, s]]``; nothing of size n x s x d exists."""
    if p.index.shape[1] == 0:
        return jnp.zeros(p.index.shape, rows.dtype)
    # XLA CPU vectorises a product by ones, not a sum over the last axis.
    ones = jnp.ones(rows.shape[1], rows.dtype)

    def one(j: Array) -> Array:
        return jnp.dot(rows * _take(table, j), ones, precision=lax.Precision.HIGHEST)

    return lax.map(one, p.index.T).T


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _gather_rows(table: Array, p: Pattern, size: int) -> Array:
    return _take(table, p.index)


def gather_rows(table: Float[Array, "i a"], p: Pattern) -> Float[Array, "n s a"]:
    """``table[index]`` whose gradient is a sorted sum; for tables with few columns."""
    return _gather_rows(table, p, table.shape[0])


def _gather_sum_bwd(res: tuple, g: Array) -> tuple:
    weights, table, p = res
    return gather_dot(g, table, p), _spread(weights, g, p, table.shape[0]), None


def _gather_dot_bwd(res: tuple, g: Array) -> tuple:
    rows, table, p = res
    return gather_sum(g, table, p), _spread(g, rows, p, table.shape[0]), None


def _spread_bwd(size: int, res: tuple, g: Array) -> tuple:
    weights, rows, p = res
    return gather_dot(rows, g, p), gather_sum(weights, g, p), None


def _gather_rows_bwd(size: int, p: Pattern, g: Array) -> tuple:
    flat = g.reshape(-1, g.shape[-1])
    out = jnp.zeros((size, flat.shape[1]), flat.dtype)
    for t in p.readers:
        out = out + csr_product(jnp.ones(t.slot.shape, flat.dtype), t.slot, t.start, flat)
    return out, None


# The three products are each other's gradients, hence differentiable to any order.
_spread.defvjp(lambda w, r, p, size: (_spread(w, r, p, size), (w, r, p)), _spread_bwd)
gather_sum.defvjp(lambda w, x, p: (gather_sum(w, x, p), (w, x, p)), _gather_sum_bwd)
gather_dot.defvjp(lambda r, x, p: (gather_dot(r, x, p), (r, x, p)), _gather_dot_bwd)
_gather_rows.defvjp(lambda x, p, size: (_take(x, p.index), p), _gather_rows_bwd)
