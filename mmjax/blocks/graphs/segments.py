"""Softmax over the edges that meet in a node.  Axes: e directed edges, n nodes."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from mmjax.blocks.graphs.ell import Ell
from mmjax.blocks.graphs.sparse import Operator, Structure, edge_dots, spmm


def edge_softmax(op: Operator, logits: Float[Array, "e"], n: int) -> Float[Array, "e"]:
    """``exp(l_e) / sum of exp(l_f)`` over the edges f that have the receiver of e.

    The weights of every receiver with an edge sum to one. Logits of any finite size are safe.
    Differentiable in reverse mode, to any order, without a scatter. `n` is the number of nodes
    (graph attention: P. Velickovic et al., ICLR 2018, arXiv 1710.10903, eq. 2).
    """
    top = _largest(op.structure, lax.stop_gradient(logits), n)
    risen = jnp.exp(logits - top.at[op.structure.receivers].get(mode="promise_in_bounds"))
    ones = jnp.ones((n, 1), logits.dtype)
    return risen / edge_dots(op, spmm(op, ones, risen), ones)


def _largest(s: Structure, values: Array, n: int) -> Array:
    """Largest value into each receiver; -inf without an edge."""
    if isinstance(s.rows, Ell):
        return _largest_of_rows(s.rows, values)
    return jax.ops.segment_max(values, s.receivers, n)


def _largest_of_rows(matrix: Ell, values: Array) -> Array:
    padded = jnp.append(values, -jnp.inf).astype(values.dtype)
    parts = [padded[bucket.slots].max(1) for bucket in matrix.buckets]
    if matrix.pieces is not None and matrix.over is not None:
        parts.append(_largest_of_rows(matrix.over, padded[matrix.pieces.slots].max(1)))
    parts.append(padded[-1:])
    return jnp.concatenate(parts)[matrix.position]
