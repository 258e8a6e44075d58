"""Sets of items, one a query, that a search over a trie must leave out or keep to.

A subtree is closed when all of its items are: the search is that of a trie built without them, at
the same width. Only lists as long as the sets exist, whatever the size of the trie.

Axes: b queries, m items of a set, w beams, c children, k items of a result.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int

from mmjax.blocks.common.segmented_search import count_at_most
from mmjax.blocks.decoding.tries import Trie

_NEVER = jnp.iinfo(jnp.int32).max


# Fields are Any because JAX rebuilds pytrees with placeholders that are no arrays.
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Subset:
    """Items to leave out (`block`) or to keep to (`allow`), by query; a pytree.

    Attributes:
        slots: int32[b, m] their slots, ascending; then the largest integer.
        nodes: by level l, int32[b, m] the nodes of level l + 1 all of whose items are blocked, or
            any of whose items is allowed, ascending; then the largest integer.
        blocked: whether the items are left out.
    """

    slots: Any
    nodes: tuple[Any, ...]
    blocked: bool = field(metadata={"static": True})


def block(trie: Trie, items: Int[Array, "b m"]) -> Subset:
    """Leave these items out, such as those a user has seen.

    Any order; repeats, and ids that the trie lacks (-1 as padding), do nothing.
    """
    return _subset(trie, items, blocked=True)


def allow(trie: Trie, items: Int[Array, "b m"]) -> Subset:
    """Keep to these items, such as the candidates of an earlier stage; conventions of `block`."""
    return _subset(trie, items, blocked=False)


def _subset(trie: Trie, items: Array, *, blocked: bool) -> Subset:
    known = (items >= 0) & (items < trie.n_items)
    start = trie.item_ptr.at[items].get(mode="clip")
    stop = trie.item_ptr.at[items + 1].get(mode="clip")
    slot = start[..., None] + jnp.arange(trie.copies, dtype=jnp.int32).reshape(1, 1, -1)
    real = known[..., None] & (slot < stop[..., None])
    slot = jnp.where(real, trie.item_slots.at[slot].get(mode="clip"), _NEVER)
    slots = _distinct(slot.reshape(items.shape[0], -1))

    def closed(ptr: Array, parent: Array) -> Array:
        whole = ptr.at[parent + 1].get(mode="clip") - ptr.at[parent].get(mode="clip")
        return _distinct(jnp.where(_run(parent) == whole, parent, _NEVER) if blocked else parent)

    leaf = closed(trie.leaf_ptr, _segment(trie.leaf_ptr, slots, 0, trie.leaf_ptr.shape[0] - 1))
    nodes = [jnp.where(leaf < _NEVER, leaf + trie.leaf0, _NEVER)]
    for level in reversed(range(1, trie.length)):
        nodes.append(closed(trie.indptr, parent_nodes(trie, nodes[-1], level=level)))
    return Subset(slots, tuple(reversed(nodes)), blocked)


def parent_nodes(trie: Trie, node: Int[Array, "b m"], *, level: int) -> Int[Array, "b m"]:
    """The parents, on `level`, of nodes on the level below; the largest integer stays."""
    edge = jnp.where(node < _NEVER, node - trie.n_roots, _NEVER)
    return _segment(trie.indptr, edge, trie.first[level], trie.first[level + 1])


def open_children(
    subset: Subset, trie: Trie, node: Int[Array, "b w"], there: Bool[Array, "b w c"], *, level: int
) -> Bool[Array, "b w c"]:
    """Which of the children of beams on a level lead to an item that is not left out.

    `there` is what `trie_walk.children` says. The beams of a query must be at distinct nodes.
    """
    b, w, c = there.shape
    listed = subset.nodes[level]
    parent = parent_nodes(trie, listed, level=level)
    edge = listed - trie.n_roots
    if trie.masks[level] is not None:
        column = trie.token.at[edge].get(mode="clip")
    else:
        column = edge - trie.indptr.at[parent].get(mode="clip")
    # The sink is no parent, and neither is the largest integer a node.
    at = parent[:, None, :] == node[:, :, None]
    place = jnp.where(at.any(1), at.argmax(1).astype(jnp.int32) * c + column, w * c)
    marked = jax.vmap(lambda p: jnp.zeros(w * c, bool).at[p].set(True, mode="drop"))(place)
    return there & (marked.reshape(b, w, c) != subset.blocked)


def open_slots(
    subset: Subset | None, trie: Trie, leaves: Int[Array, "b w"]
) -> tuple[Int[Array, "b w"], Int[Array, "b w"]]:
    """How many items of each leaf are not left out, and the rank of the first of them.

    `slot_of_rank` turns the ranks from there on into slots. Leaf -1 has none.
    """
    start = trie.leaf_ptr.at[jnp.maximum(leaves, 0)].get(mode="promise_in_bounds")
    stop = trie.leaf_ptr.at[jnp.maximum(leaves, 0) + 1].get(mode="promise_in_bounds")
    if subset is not None:
        before = jax.vmap(jnp.searchsorted)(subset.slots, start).astype(jnp.int32)
        behind = jax.vmap(jnp.searchsorted)(subset.slots, stop).astype(jnp.int32)
        start, stop = (start - before, stop - behind) if subset.blocked else (before, behind)
    return jnp.where(leaves >= 0, stop - start, 0), start


def slot_of_rank(subset: Subset | None, rank: Int[Array, "b k"]) -> Int[Array, "b k"]:
    """The slot of each rank among those that are not left out."""
    if subset is None:
        return rank
    if not subset.blocked:
        return jnp.take_along_axis(subset.slots, rank, 1, mode="clip")
    # A blocked slot with g open ones before it lies before the open slot of rank r when g <= r.
    m = jnp.arange(subset.slots.shape[1], dtype=jnp.int32)[None]
    gaps = jnp.where(subset.slots < _NEVER, subset.slots - m, _NEVER)
    count = jax.vmap(lambda g, r: jnp.searchsorted(g, r, side="right"))(gaps, rank)
    return rank + count.astype(jnp.int32)


def _distinct(x: Array) -> Array:
    """Ascending rows, each value once; the places left over hold the largest integer."""
    x = jnp.sort(x, axis=1)
    again = jnp.pad(x[:, 1:] == x[:, :-1], ((0, 0), (1, 0)))
    return jnp.sort(jnp.where(again, _NEVER, x), axis=1)


def _run(x: Array) -> Array:
    """How often each value occurs in its ascending row."""

    def row(values: Array) -> Array:
        right = jnp.searchsorted(values, values, side="right")
        return right - jnp.searchsorted(values, values, side="left")

    return jax.vmap(row)(x).astype(jnp.int32)


def _segment(ptr: Array, position: Array, first: int, stop: int) -> Array:
    """Which segment of `ptr`, of first to stop - 1, holds each position; `_NEVER` stays."""
    low = jnp.full(position.shape, first, jnp.int32)
    high = jnp.full(position.shape, stop, jnp.int32)
    count = count_at_most(ptr, low, high, position, longest=stop - first)
    return jnp.where(position < _NEVER, first + count - 1, _NEVER)
