"""Padded neighbour lists: a sparse matrix as a few rectangular gathers, for GPU and TPU.

Rows are bucketed by their number of entries, rounded up to a power of two. A row with more than
`WIDTH` entries is cut into pieces of `WIDTH`, whose partial sums are summed by a smaller matrix of
the same kind; a power-law graph therefore costs a dozen kernels instead of thousands.

Axes: n rows, b rows of a bucket, k entries of a row, e edges, d features.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Ints = Array | np.ndarray
"""An integer array: numpy while a layout is built, on the device afterwards."""

WIDTH = 32
_UNROLL = 4


class Bucket(NamedTuple):
    """Rows that have the same (padded) number of entries."""

    neighbours: Ints
    """int32[b, k] column of each entry; padding repeats an entry of the same row."""
    slots: Ints
    """int32[b, k] index of the entry's weight; padding holds e, where the weight is zero."""


class Ell(NamedTuple):
    """A sparse matrix with n rows."""

    buckets: tuple[Bucket, ...]
    pieces: Bucket | None
    """The long rows in pieces; None when there is no long row."""
    over: "Ell | None"
    """Sums the pieces of each long row."""
    position: Ints
    """int32[n] where each row lies in (buckets..., long rows, one row of zeros)."""


def build(indices: np.ndarray, indptr: np.ndarray, order: np.ndarray, width: int = WIDTH) -> Ell:
    """Host build from compressed rows; `order` maps a slot of the rows to the weight's index."""
    lengths = np.diff(indptr)
    edges = len(indices)
    columns = np.append(indices, 0)
    weights = np.append(order, edges)

    def rectangle(start: np.ndarray, count: np.ndarray, k: int) -> Bucket:
        offset = np.arange(k)
        inside = offset < count[:, None]
        slot = start[:, None] + np.where(inside, offset, 0)
        return Bucket(
            columns[slot].astype(np.int32),
            np.where(inside, weights[slot], edges).astype(np.int32),
        )

    position = np.empty(len(lengths), np.int32)
    buckets, filled, k = [], 0, 1
    while k <= width:
        rows = np.flatnonzero((lengths <= k) & (lengths > k // 2))
        if len(rows):
            buckets.append(rectangle(indptr[rows], lengths[rows], k))
            position[rows] = filled + np.arange(len(rows))
            filled += len(rows)
        k *= 2
    pieces = over = None
    rows = np.flatnonzero(lengths > width)
    if len(rows):
        count = -(-lengths[rows] // width)
        bounds = np.concatenate([[0], np.cumsum(count)])
        nth = np.arange(bounds[-1]) - np.repeat(bounds[:-1], count)
        start = np.repeat(indptr[rows], count) + nth * width
        left = np.repeat(lengths[rows], count) - nth * width
        pieces = rectangle(start, np.minimum(left, width), width)
        everything = np.arange(bounds[-1])
        over = build(everything, bounds, everything, width)
        position[rows] = filled + np.arange(len(rows))
        filled += len(rows)
    position[lengths == 0] = filled
    return Ell(tuple(buckets), pieces, over, position)


def _take(table: Array, index: Ints) -> Array:
    return table.at[index].get(mode="promise_in_bounds")


def _bucket_product(bucket: Bucket, padded: Array, x: Array) -> Array:
    weights = _take(padded, bucket.slots)
    # A GPU pays per kernel, of which the loop has one a step; unrolled, the bucket is one kernel.
    # On CPU the unrolled form writes every gathered block to memory.
    return lax.platform_dependent(
        weights, bucket.neighbours, x, cuda=_unrolled, rocm=_unrolled, default=_looped
    )


def _looped(weights: Array, neighbours: Array, x: Array) -> Array:
    def term(j: Array | int) -> Array:
        return weights[:, j, None] * _take(x, neighbours[:, j])

    k = neighbours.shape[1]
    return lax.fori_loop(1, k, lambda j, y: y + term(j), term(0), unroll=min(_UNROLL, k))


def _unrolled(weights: Array, neighbours: Array, x: Array) -> Array:
    terms = (weights[:, j, None] * _take(x, neighbours[:, j]) for j in range(weights.shape[1]))
    return sum(terms, start=jnp.zeros((), x.dtype))


def product(matrix: Ell, weights: Array, x: Array) -> Array:
    """``y[n, d]`` of the matrix with entries `weights` [e] times `x` [m, d]; gathers only."""
    padded = jnp.append(weights, jnp.zeros((), weights.dtype))
    parts = [_bucket_product(b, padded, x) for b in matrix.buckets]
    if matrix.pieces is not None and matrix.over is not None:
        partial_sums = _bucket_product(matrix.pieces, padded, x)
        ones = jnp.ones(partial_sums.shape[:1], x.dtype)
        parts.append(product(matrix.over, ones, partial_sums))
    parts.append(jnp.zeros((1, x.shape[1]), x.dtype))
    return _take(jnp.concatenate(parts), matrix.position)
