"""Prefix trees of token codes as flat arrays, built on the host; `trie_walk` reads them.

Nodes are numbered breadth first, roots before all others and siblings by token. So the edge at
position e of `token` leads to node ``n_roots + e``, the leaves are the last nodes, and one more
number, the sink, stands for "no such node". Items of equal code share a leaf. The layout follows
X. Su et al., "Vectorizing the Trie" (arXiv 2602.22647), without its tables of states.

Axes: n rows (a code and its item), l levels, v nodes, e edges, f leaves, i items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

_MASK_BYTES = 2**25


# Fields are Any because JAX rebuilds pytrees with placeholders that are no arrays.
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trie:
    """The codes of a catalogue, made by `build_trie`; a pytree.

    Hand it to jitted functions as an argument: closed over, its arrays would be constants of the
    program.

    Attributes:
        indptr: int32[v + 2] where each node's edges begin; the sink has none.
        token: int32[e + widest] token of each edge, ascending within a node; then padding.
        leaf_ptr: int32[f + 1] where each leaf's items begin.
        leaf_items: int32[n] items by leaf, ascending within one; a position in it is a slot.
        item_ptr: int32[i + 1] where each item's slots begin.
        item_slots: int32[n] slots by item.
        masks: by level l, None or bool[nodes of level l + 1, tokens of l] which tokens follow each
            node, none in the last row; decoding reads whole rows of it instead of lists.
        first: first node of each level, then n_nodes; (0, n_roots, ..., leaf0, n_nodes).
        branching: most children of a node, by level.
        sizes: tokens of each level's vocabulary.
        copies: most slots of one item.
        end: token that ends a code before its last level, or None.
        dense: what `build_trie` was asked for.
    """

    indptr: Any
    token: Any
    leaf_ptr: Any
    leaf_items: Any
    item_ptr: Any
    item_slots: Any
    masks: tuple[Any, ...]
    first: tuple[int, ...] = field(metadata={"static": True})
    branching: tuple[int, ...] = field(metadata={"static": True})
    sizes: tuple[int, ...] = field(metadata={"static": True})
    copies: int = field(metadata={"static": True})
    end: int | None = field(metadata={"static": True})
    dense: bool | None = field(metadata={"static": True})

    @property
    def length(self) -> int:
        """Number of levels, l."""
        return len(self.sizes)

    @property
    def n_roots(self) -> int:
        """Number of roots; they are nodes 0 to n_roots - 1."""
        return self.first[1]

    @property
    def leaf0(self) -> int:
        """Node number of leaf 0."""
        return self.first[-2]

    @property
    def n_nodes(self) -> int:
        """Number of nodes, roots and leaves included; the number of the sink."""
        return self.first[-1]

    @property
    def n_items(self) -> int:
        """One more than the highest item id."""
        return self.item_ptr.shape[0] - 1

    @property
    def child(self) -> Int[Array, "e"]:
        """Node at the end of each edge."""
        return jnp.arange(self.n_roots, self.n_nodes, dtype=jnp.int32)


def build_trie(
    codes: Array | np.ndarray,
    sizes: Sequence[int] | None = None,
    *,
    items: Array | np.ndarray | None = None,
    roots: Array | np.ndarray | None = None,
    n_roots: int | None = None,
    end: int | None = None,
    dense: bool | None = None,
) -> Trie:
    """The trie of integer `codes` [n, l], built on the host; the order of the rows is immaterial.

    Memory is ``4 (v + e + 2 n + i + f)`` bytes and the masks, below 50 MB for a million codes of 4.

    Args:
        codes: token of each row at each level; equal rows share a leaf.
        sizes: tokens of each level's vocabulary; None takes the highest token met, plus one.
        items: item of each row, 0 or more; None takes the row number. An item may have several
            codes; a row that repeats another, item included, counts once.
        roots: which of several tries each row belongs to, from 0; None puts all in one. An item
            of two categories is two rows. A query names the root that it starts from.
        n_roots: number of roots; None takes the highest one met, plus one.
        end: token that ends a code early; the levels after it must repeat it. A finished beam
            keeps its score.
        dense: hold a mask over the vocabulary for every node of all levels, or of none; None does
            so where some node has half of the vocabulary as children and the masks of the level
            fit into 32 MiB. Results are the same, and there it takes half the time.

    Raises:
        ValueError: no rows or levels, a dtype that is no integer, a negative or too large token,
            item or root, a code that goes on after `end`, or shapes that do not match.
    """
    rows = _rows(codes, items, roots)
    sizes = tuple(int(size) for size in (rows.codes.max(0) + 1 if sizes is None else sizes))
    if n_roots is None:
        n_roots = int(rows.roots.max()) + 1
    _check(rows, sizes, n_roots, end)
    return _laid_out(_sorted(rows), sizes, n_roots, end, dense)


def with_items(
    trie: Trie,
    codes: Array | np.ndarray,
    *,
    items: Array | np.ndarray | None = None,
    roots: Array | np.ndarray | None = None,
) -> Trie:
    """The trie with more rows; `items` None numbers them on from the highest item.

    Equal to building it from all rows at once, within the same vocabularies and roots.

    Raises:
        ValueError: as `build_trie` does.
    """
    if items is None:
        items = np.arange(trie.n_items, trie.n_items + len(codes))
    new = _rows(codes, items, roots)
    _check(new, trie.sizes, trie.n_roots, trie.end)
    leaf_roots, leaf_codes = _leaves(trie)
    held = _lengths(trie.leaf_ptr)
    old = _Rows(leaf_codes.repeat(held, 0), np.asarray(trie.leaf_items), leaf_roots.repeat(held))
    both = _Rows(*map(np.concatenate, zip(old, new, strict=True)))
    return _laid_out(_sorted(both), trie.sizes, trie.n_roots, trie.end, trie.dense)


def leaf_codes(trie: Trie) -> Int[np.ndarray, "f l"]:
    """The code of every leaf, on the host."""
    return _leaves(trie)[1]


class _Rows(NamedTuple):
    codes: np.ndarray
    items: np.ndarray
    roots: np.ndarray


def _rows(codes: Any, items: Any, roots: Any) -> _Rows:
    """The rows as integer arrays of fitting shapes."""
    codes = _integers(codes, "codes", 2)
    n, length = codes.shape
    if not n or not length:
        raise ValueError(
            f"build_trie: codes are {n} rows of {length} levels; a trie needs one row and level"
        )
    items = np.arange(n) if items is None else _integers(items, "items", 1)
    roots = np.zeros(n, np.int64) if roots is None else _integers(roots, "roots", 1)
    for name, column in (("items", items), ("roots", roots)):
        if len(column) != n:
            raise ValueError(f"build_trie: {len(column)} {name} for {n} codes; give one a row")
    return _Rows(codes, items, roots)


def _integers(x: Any, what: str, ndim: int) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype.kind not in "iu" or x.ndim != ndim:
        raise ValueError(
            f"build_trie: {what} are {x.dtype}{list(x.shape)}; give an integer array of "
            f"{ndim} dimension{'s' * (ndim > 1)}"
        )
    return x.astype(np.int64)


def _check(rows: _Rows, sizes: tuple[int, ...], n_roots: int, end: int | None) -> None:
    codes = rows.codes
    if len(sizes) != codes.shape[1]:
        raise ValueError(f"build_trie: codes of {codes.shape[1]} levels, but {len(sizes)} sizes")
    for level, size in enumerate(sizes):
        _check_range(codes[:, level], size, f"codes, level {level}", "token")
    _check_range(rows.items, np.iinfo(np.int32).max, "items", "item")
    _check_range(rows.roots, n_roots, "roots", "root")
    if end is None:
        return
    on = ((codes[:, :-1] == end) & (codes[:, 1:] != end)).any(1)
    if on.any():
        row = int(np.argmax(on))
        raise ValueError(
            f"build_trie: row {row} goes on after the end token {end}: {codes[row].tolist()}; "
            "fill the levels behind it with the end token"
        )


def _check_range(column: np.ndarray, count: int, where: str, what: str) -> None:
    bad = (column < 0) | (column >= count)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"build_trie: {where}, row {row}: {what} {column[row]} is out of range "
            f"(0..{count - 1}); {int(bad.sum())} such rows"
        )


def _sorted(rows: _Rows) -> _Rows:
    """The rows by root, code and item, each once."""
    codes, items, roots = rows
    order = np.lexsort((items, *codes.T[::-1], roots))
    codes, items, roots = (x[order] for x in rows)
    new = np.ones(len(items), bool)
    new[1:] = items[1:] != items[:-1]
    new[1:] |= (codes[1:] != codes[:-1]).any(1) | (roots[1:] != roots[:-1])
    return _Rows(codes[new], items[new], roots[new])


def _laid_out(
    rows: _Rows, sizes: tuple[int, ...], n_roots: int, end: int | None, dense: bool | None
) -> Trie:
    codes, items, roots = rows
    opens = np.ones(len(items), bool)
    opens[1:] = roots[1:] != roots[:-1]
    masks = []
    node, tokens, degrees, first = roots, [], [], [0, n_roots]
    for level in range(len(sizes)):
        # Rows that are the first with their prefix; counting them numbers the nodes of the level.
        opens[1:] |= codes[1:, level] != codes[:-1, level]
        tokens.append(codes[opens, level])
        degrees.append(np.bincount(node[opens], minlength=first[-1] - first[-2]))
        masks.append(_mask(node[opens], tokens[-1], degrees[-1], sizes[level], dense))
        node = np.cumsum(opens) - 1
        first.append(first[-1] + len(tokens[-1]))
    branching = tuple(int(d.max()) for d in degrees)
    inner = np.cumsum(np.concatenate(degrees))
    after = np.full(first[-1] - first[-2] + 1, inner[-1])
    slots_of_item = np.bincount(items)
    return Trie(
        indptr=_int32(np.concatenate([[0], inner, after])),
        token=_int32(np.pad(np.concatenate(tokens), (0, max(branching)))),
        leaf_ptr=_int32(np.append(np.flatnonzero(opens), len(items))),
        leaf_items=_int32(items),
        item_ptr=_int32(np.append(0, np.cumsum(slots_of_item))),
        item_slots=_int32(np.argsort(items, kind="stable")),
        masks=tuple(masks),
        first=tuple(first),
        branching=branching,
        sizes=sizes,
        copies=int(slots_of_item.max()),
        end=end,
        dense=dense,
    )


def _mask(
    parent: np.ndarray, token: np.ndarray, degree: np.ndarray, size: int, dense: bool | None
) -> Array | None:
    if dense is None:
        dense = 2 * degree.max() >= size and (len(degree) + 1) * size <= _MASK_BYTES
    if not dense:
        return None
    mask = np.zeros((len(degree) + 1, size), bool)
    mask[parent, token] = True
    return jnp.asarray(mask)


def _leaves(trie: Trie) -> tuple[np.ndarray, np.ndarray]:
    """Root [f] and code [f, l] of every leaf."""
    indptr, token = np.asarray(trie.indptr), np.asarray(trie.token)
    node = np.arange(trie.leaf0, trie.n_nodes)
    codes = np.empty((len(node), trie.length), np.int32)
    for level in reversed(range(trie.length)):
        edge = node - trie.n_roots
        codes[:, level] = token[edge]
        node = np.searchsorted(indptr, edge, side="right") - 1
    return node, codes


def _lengths(ptr: Array) -> np.ndarray:
    held = np.asarray(ptr)
    return held[1:] - held[:-1]


def _int32(x: np.ndarray) -> Array:
    return jnp.asarray(x, jnp.int32)
