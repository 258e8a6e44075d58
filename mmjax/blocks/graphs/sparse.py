"""Products with the adjacency matrix of a graph, differentiable without any scatter.

The gradient of a gather is a scatter-add, the slowest instruction of a graph model on CPU and a
non-deterministic one on GPU. An `Operator` therefore holds its structure twice, by rows and by
columns, and every gradient is again a product that only reads: ``dx = A' dy`` by columns, and one
dot product per edge for the weights.

Axes: n nodes, e directed edges, d features.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import scipy.sparse
from einops import rearrange
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.experimental import sparse as jax_sparse
from jaxtyping import Float, Int

from mmjax.blocks.graphs import ell

LAYOUTS = ("auto", "csr", "ell", "dense", "segment")
_CHUNK = 4096


class Csr(NamedTuple):
    """Compressed rows."""

    indices: ell.Ints
    """int32[e] column of each slot, ordered by row."""
    indptr: ell.Ints
    """int32[n + 1] where each row's slots begin."""
    order: ell.Ints | None
    """int32[e] the edge of each slot; None if slots are in edge order."""


class Dense(NamedTuple):
    """An n x n matrix, filled from the edges at each product."""


class Segment(NamedTuple):
    """One segment sum over the edges as they come."""


Rows = Csr | ell.Ell | Dense | Segment


class Structure(NamedTuple):
    """Who sends to whom, without weights."""

    senders: ell.Ints
    receivers: ell.Ints
    rows: Rows
    """Layout of A: which senders each receiver reads."""
    columns: Rows
    """Layout of A': which receivers each sender reads."""

    @property
    def transposed(self) -> "Structure":
        """The same edges the other way round."""
        return Structure(self.receivers, self.senders, self.columns, self.rows)


# Fields are Any because JAX rebuilds pytrees with placeholders that are no arrays.
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Operator:
    """A weighted adjacency matrix, ``y[receiver] += weight * x[sender]``; a pytree.

    Hand it to jitted functions as an argument: closed over, its arrays would be constants of the
    program, compiled into it and held twice.

    Attributes:
        weights: float[e], in the order of the graph's edges.
        structure: the edges, laid out for products with A and with its transpose.
        layout: "csr", "ell", "dense" or "segment".
        symmetric: whether A with `weights` is known to equal its transpose.
    """

    weights: Any
    structure: Any
    layout: str = field(metadata={"static": True})
    symmetric: bool = field(metadata={"static": True})


def operator(graph: jraph.GraphsTuple, *, layout: str = "auto") -> Operator:
    """Lay out a single graph for products; runs on the host.

    `graph.edges` holds the weights, float[e]. Duplicate edges add up; nodes without edges give
    rows of zeros. "csr" is fastest on CPU, "ell" reads only by gathers and is meant for GPU and
    TPU, "auto" picks between them by the default backend. "dense" multiplies by an n x n matrix
    (small graphs), "segment" is the plain reference, whose gradient scatters.

    Raises:
        ValueError: not one graph, weights missing or not finite, or an edge end out of range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {LAYOUTS}, got {layout!r}")
    if layout == "auto":
        layout = "csr" if jax.default_backend() == "cpu" else "ell"
    n, senders, receivers, weights = _validated(graph)
    rows = columns = Dense() if layout == "dense" else Segment()
    symmetric = False
    if layout in ("csr", "ell"):
        by_row, by_column = _both_ways(senders, receivers, n)
        symmetric = _is_symmetric(by_row, by_column, weights)
        pack = _ell if layout == "ell" else lambda csr: csr
        rows, columns = pack(by_row), pack(by_column)
    structure = _to_device(Structure(senders, receivers, rows, columns))
    return Operator(jnp.asarray(weights), structure, layout, symmetric)


def _to_device(structure: Structure) -> Structure:
    """Equal arrays become one: both directions of a symmetric graph share their structure."""
    seen: dict[tuple, Array] = {}

    def put(a: np.ndarray) -> Array:
        return seen.setdefault((a.shape, a.tobytes()), jnp.asarray(a))

    return jax.tree.map(put, structure)


def _validated(graph: jraph.GraphsTuple) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    if np.size(graph.n_node) != 1:
        raise ValueError(
            f"operator takes one graph, got {np.size(graph.n_node)}; unbatch it (jraph.unbatch_np)"
        )
    n = int(np.sum(graph.n_node))
    senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
    weights = np.asarray(graph.edges) if graph.edges is not None else None
    if weights is None or weights.shape != senders.shape or weights.dtype.kind != "f":
        found = "None" if weights is None else f"{weights.dtype}{list(weights.shape)}"
        raise ValueError(
            f"graph.edges must hold one floating-point weight per edge, float[{len(senders)}], "
            f"got {found}; start from `bipartite` and `normalise`"
        )
    if not np.isfinite(weights).all():
        raise ValueError(f"weight of edge {int(np.argmin(np.isfinite(weights)))} is not finite")
    for name, ends in (("senders", senders), ("receivers", receivers)):
        if ends.shape != weights.shape:
            raise ValueError(f"graph.{name} has shape {ends.shape}, expected {weights.shape}")
        if len(ends) and (ends.min() < 0 or ends.max() >= n):
            bad = int(np.flatnonzero((ends < 0) | (ends >= n))[0])
            raise ValueError(
                f"graph.{name}[{bad}] is {ends[bad]}, but the graph has nodes 0 to {n - 1}"
            )
    return n, senders.astype(np.int32), receivers.astype(np.int32), weights


def _both_ways(senders: np.ndarray, receivers: np.ndarray, n: int) -> tuple[Csr, Csr]:
    """Compressed rows of A and of its transpose, columns ascending within a row."""
    keys = receivers.astype(np.int64) * n + senders
    slots = np.arange(len(keys), dtype=np.int32)
    order = None if (keys[1:] >= keys[:-1]).all() else np.argsort(keys, kind="stable")
    order = order if order is None else order.astype(np.int32)
    indices = senders if order is None else senders[order]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(receivers, minlength=n))]).astype(np.int32)
    # SciPy transposes by counting; what it moves along is where each slot was.
    turned = scipy.sparse.csr_array((slots, indices, indptr), shape=(n, n)).tocsc()
    moved = np.asarray(turned.data, np.int32)
    by_column = moved if order is None else order[moved]
    in_order = np.array_equal(by_column, slots)
    columns = Csr(turned.indices, turned.indptr, None if in_order else by_column)
    return Csr(indices, indptr, order), columns


def _is_symmetric(rows: Csr, columns: Csr, weights: np.ndarray) -> bool:
    """Whether A equals its transpose slot by slot; False is always safe, only slower."""
    mine, other = (weights if m.order is None else weights[m.order] for m in (rows, columns))
    return (
        np.array_equal(rows.indptr, columns.indptr)
        and np.array_equal(rows.indices, columns.indices)
        and np.array_equal(mine, other)
    )


def _ell(rows: Csr) -> ell.Ell:
    indices, indptr = np.asarray(rows.indices), np.asarray(rows.indptr)
    order = np.arange(len(indices)) if rows.order is None else np.asarray(rows.order)
    return ell.build(indices, indptr, order)


def spmm(
    op: Operator, x: Float[Array, "n d"], weights: Float[Array, "e"] | None = None
) -> Float[Array, "n d"]:
    """``y[r] = sum of weights[e] * x[sender(e)] over the edges e into r``.

    Differentiable in reverse mode, to any order, with respect to `x` and `weights`; `weights`
    left out means `op.weights` as constants, for which no gradient is computed. Sums are taken
    in float32 at least and returned in the dtype of `x`. Under `vmap`, a batch of `x` becomes
    wider features; a batch of weights is mapped over one at a time.
    """
    if weights is None:
        s, w, x = _aligned((op.structure, lax.stop_gradient(op.weights), x))
        return _constant(op.symmetric, s, w, x)
    return _product(*_aligned((op.structure, weights, x)))


def edge_dots(
    op: Operator, left: Float[Array, "n d"], right: Float[Array, "n d"]
) -> Float[Array, "e"]:
    """``left[receiver(e)] . right[sender(e)]`` for every edge, in the order of the edges.

    Differentiable in reverse mode, to any order, without a scatter; summed in float32 at least.
    With a column of ones on one side it reads the other side's node for every edge.
    """
    return _edge_dots(*_aligned((op.structure, left, right)))


def _aligned(tree: Any) -> Any:
    """Inside a `shard_map` that tracks which values differ between devices, let all leaves differ.

    A custom gradient must have the type of its input, and a product with anything that differs
    differs. Adding an empty sum says so in every version of JAX and compiles to nothing; the
    gradient of a leaf that did not differ is then summed over devices, as it has to be.
    """
    leaves = jax.tree.leaves(tree)
    if not any(_differs(leaf) for leaf in leaves):
        return tree
    empty = sum(lax.stop_gradient(leaf).ravel()[:0].sum().astype(jnp.float32) for leaf in leaves)
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(empty).astype(leaf.dtype), tree)


def _differs(leaf: Array) -> bool:
    kind = jax.typeof(leaf)
    manual = getattr(kind, "mat", kind)
    return bool(getattr(manual, "varying", getattr(manual, "vma", ())))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _constant(symmetric: bool, s: Structure, weights: Array, x: Array) -> Array:
    return _multiply(s, weights, x)


def _constant_fwd(symmetric: bool, s: Structure, weights: Array, x: Array) -> tuple:
    return _constant(symmetric, s, weights, x), (s, weights)


def _constant_bwd(symmetric: bool, res: tuple, g: Array) -> tuple:
    s, weights = res
    return None, None, _constant(symmetric, s if symmetric else s.transposed, weights, g)


_constant.defvjp(_constant_fwd, _constant_bwd)


@jax.custom_vjp
def _product(s: Structure, weights: Array, x: Array) -> Array:
    return _multiply(s, weights, x)


def _product_fwd(s: Any, weights: Any, x: Any) -> tuple:
    structure = jax.tree.map(lambda leaf: leaf.value, s)
    y = _product(structure, weights.value, x.value)
    return y, (structure, weights.value, x.value if weights.perturbed else None)


def _product_bwd(res: tuple, g: Array) -> tuple:
    s, weights, x = res
    by_edge = None if x is None else _edge_dots(s, g, x).astype(weights.dtype)
    return None, by_edge, _product(s.transposed, weights, g)


# Symbolic zeros tell whether the weights are differentiated: if not, x need not be kept.
_product.defvjp(_product_fwd, _product_bwd, symbolic_zeros=True)


@jax.custom_vjp
def _edge_dots(s: Structure, left: Array, right: Array) -> Array:
    """``left[receiver(e)] . right[sender(e)]`` for every edge."""
    return _dots(s.receivers, s.senders, left, right)


def _edge_dots_bwd(res: tuple, g: Array) -> tuple:
    s, left, right = res
    d_left = _product(s, g, right).astype(left.dtype)
    return None, d_left, _product(s.transposed, g, left).astype(right.dtype)


_edge_dots.defvjp(lambda s, a, b: (_edge_dots(s, a, b), (s, a, b)), _edge_dots_bwd)


def _one_at_a_time(f: Any, size: int, batched: list, *args: Any) -> tuple:
    """`f` over the batched leaves of `args` by `lax.map`, which keeps memory at one item's."""
    leaves, tree = jax.tree.flatten(args)
    flags = jax.tree.leaves(batched)
    moving = [a for a, moves in zip(leaves, flags, strict=True) if moves]

    def one(items: list) -> Array:
        rest = iter(items)
        merged = [next(rest) if moves else a for a, moves in zip(leaves, flags, strict=True)]
        return f(*jax.tree.unflatten(tree, merged))

    return lax.map(one, moving), True


@custom_vmap
def _multiply(s: Structure, weights: Array, x: Array) -> Array:
    return _matrix_product(s, weights, x)


@jax.jit
def _matrix_product(s: Structure, weights: Array, x: Array) -> Array:
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, weights.dtype), jnp.float32)
    w, wide = weights.astype(dtype), x.astype(dtype)
    if isinstance(s.rows, Csr):
        w = w if s.rows.order is None else _take(w, s.rows.order)
        y = csr_product(w, jnp.asarray(s.rows.indices), jnp.asarray(s.rows.indptr), wide)
    elif isinstance(s.rows, ell.Ell):
        y = ell.product(s.rows, w, wide)
    elif isinstance(s.rows, Dense):
        matrix = jnp.zeros((x.shape[0],) * 2, dtype).at[s.receivers, s.senders].add(w)
        y = jnp.dot(matrix, wide, precision=lax.Precision.HIGHEST)
    else:
        y = jax.ops.segment_sum(w[:, None] * _take(wide, s.senders), s.receivers, x.shape[0])
    return y.astype(x.dtype)


@_multiply.def_vmap
def _multiply_batched(size: int, batched: list, s: Structure, weights: Array, x: Array) -> tuple:
    structure_moves, weights_move, _ = batched
    if weights_move or any(jax.tree.leaves(structure_moves)):
        return _one_at_a_time(_multiply, size, batched, s, weights, x)
    wide = _multiply(s, weights, rearrange(x, "seeds rows d -> rows (seeds d)"))
    return rearrange(wide, "rows (seeds d) -> seeds rows d", seeds=size), True


@custom_vmap
@jax.jit
def _dots(first: Array, second: Array, left: Array, right: Array) -> Array:
    dtype = jnp.promote_types(jnp.promote_types(left.dtype, right.dtype), jnp.float32)
    args = (first, second, left.astype(dtype), right.astype(dtype))
    return lax.platform_dependent(*args, cpu=_dots_by_chunk, default=_dots_fused)


@_dots.def_vmap
def _dots_batched(size: int, batched: list, *args: Array) -> tuple:
    return _one_at_a_time(_dots, size, batched, *args)


def _dots_fused(first: Array, second: Array, left: Array, right: Array) -> Array:
    return (_take(left, first) * _take(right, second)).sum(-1)


def _dots_by_chunk(first: Array, second: Array, left: Array, right: Array) -> Array:
    """Chunks keep the gathered rows in cache; XLA CPU vectorises a product by ones, not a sum."""
    edges = first.shape[0]
    size = max(1, min(edges, _CHUNK))
    ones = jnp.ones(left.shape[1], left.dtype)

    def one(ends: tuple[Array, Array]) -> Array:
        rows = _take(left, ends[0]) * _take(right, ends[1])
        return jnp.dot(rows, ones, precision=lax.Precision.HIGHEST)

    fill = (0, -edges % size)
    ends = (jnp.pad(first, fill).reshape(-1, size), jnp.pad(second, fill).reshape(-1, size))
    return lax.map(one, ends).ravel()[:edges]


def _take(table: Array, index: ell.Ints) -> Array:
    return table.at[index].get(mode="promise_in_bounds")


@custom_vmap
def _csr_product(data: Array, indices: Array, indptr: Array, x: Array) -> Array:
    shape = (indptr.shape[0] - 1, x.shape[0])
    y = jax_sparse.BCSR((data, indices, indptr), shape=shape) @ x
    return _aligned((y, data, indices, indptr, x))[0]


@_csr_product.def_vmap
def _csr_product_batched(size: int, batched: list, *args: Array) -> tuple:
    return _one_at_a_time(_csr_product, size, batched, *args)


def csr_product(
    data: Float[Array, "e"],
    indices: Int[Array, "e"],
    indptr: Int[Array, "r"],
    x: Float[Array, "m d"],
) -> Float[Array, "n d"]:
    """Compressed rows times `x`: ``y[r] = sum of data[k] * x[indices[k]]``, k in row r's slots.

    The structure may be traced; r is n + 1. On CPU this is a multi-threaded library call, on
    other devices a gather and a segment sum. `indices` and `indptr` are of one integer type.
    """
    dtype = jnp.promote_types(jnp.promote_types(data.dtype, x.dtype), jnp.float32)
    y = _csr_product(data.astype(dtype), indices, indptr, x.astype(dtype))
    return y.astype(x.dtype)
