"""Walking down a trie on the device, from nodes to children and from codes to items.

Axes: any shape b of nodes or codes, l levels, c children, k items.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int

from mmjax.blocks.common.segmented_search import count_at_most
from mmjax.blocks.decoding.tries import Trie


def children(
    trie: Trie, node: Int[Array, "*b"], *, level: int
) -> tuple[Int[Array, "*b c"], Bool[Array, "*b c"]]:
    """Token of every child of nodes of a level, ascending, and whether there is such a child.

    c is the most children of a node of the level; where the level has a mask, it is the size of
    the vocabulary, and column t is token t. `nth_child` gives the node of a column.
    """
    mask = trie.masks[level]
    if mask is not None:
        row = jnp.minimum(node, trie.first[level + 1]) - trie.first[level]
        there = _read(mask, row)
        return jnp.broadcast_to(jnp.arange(mask.shape[1], dtype=jnp.int32), there.shape), there
    start, stop = _read(trie.indptr, node), _read(trie.indptr, node + 1)
    column = jnp.arange(trie.branching[level], dtype=jnp.int32).reshape((1,) * node.ndim + (-1,))
    edge = start[..., None] + column
    return _read(trie.token, edge), edge < stop[..., None]


def nth_child(
    trie: Trie, node: Int[Array, "*b"], column: Int[Array, "*b"], *, level: int
) -> tuple[Int[Array, "*b"], Int[Array, "*b"]]:
    """Token and node of the child that stands in a column of `children`; it must exist."""
    if trie.masks[level] is not None:
        return column, child(trie, node, column, level=level)
    edge = _read(trie.indptr, node) + column
    return _read(trie.token, edge), edge + trie.n_roots


def child(
    trie: Trie, node: Int[Array, "*b"], token: Int[Array, "*b"], *, level: int
) -> Int[Array, "*b"]:
    """The child of each node of a level along a token; the sink where there is none."""
    start, stop = _read(trie.indptr, node), _read(trie.indptr, node + 1)
    rank = count_at_most(trie.token, start, stop, token, longest=trie.branching[level])
    edge = start + jnp.maximum(rank - 1, 0)
    found = (rank > 0) & (_read(trie.token, edge) == token)
    return jnp.where(found, edge + trie.n_roots, trie.n_nodes)


def start_nodes(
    trie: Trie, start: Int[Array, "*b"] | None, shape: tuple[int, ...]
) -> Int[Array, "*b"]:
    """The given roots, the sink for what is no root; None is root 0 everywhere."""
    if start is None:
        return jnp.zeros(shape, jnp.int32)
    known = (start >= 0) & (start < trie.n_roots)
    return jnp.where(known, start.astype(jnp.int32), trie.n_nodes)


def lookup(
    trie: Trie, codes: Int[Array, "*b l"], start: Int[Array, "*b"] | None = None
) -> Int[Array, "*b"]:
    """The leaf of each code below the roots `start` (None: root 0); -1 where there is none.

    Raises:
        ValueError: codes of another length.
    """
    if codes.shape[-1] != trie.length:
        raise ValueError(f"lookup: codes of {codes.shape[-1]} levels, the trie has {trie.length}")
    node = start_nodes(trie, start, codes.shape[:-1])
    for level in range(trie.length):
        node = child(trie, node, codes[..., level], level=level)
    return jnp.where(node < trie.n_nodes, node - trie.leaf0, -1)


def contains(
    trie: Trie, codes: Int[Array, "*b l"], start: Int[Array, "*b"] | None = None
) -> Bool[Array, "*b"]:
    """Whether each code has a leaf; arguments and errors as in `lookup`."""
    return lookup(trie, codes, start) >= 0


def leaf_members(trie: Trie, leaves: Int[Array, "*b"], *, k: int) -> Int[Array, "*b k"]:
    """The first k items of each leaf; -1 where there are fewer, and for leaf -1."""
    start = _read(trie.leaf_ptr, jnp.maximum(leaves, 0))
    stop = _read(trie.leaf_ptr, jnp.maximum(leaves, 0) + 1)
    slot = start[..., None] + jnp.arange(k, dtype=jnp.int32).reshape((1,) * leaves.ndim + (-1,))
    inside = (slot < stop[..., None]) & (leaves >= 0)[..., None]
    return jnp.where(inside, trie.leaf_items.at[slot].get(mode="clip"), -1)


def _read(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")
