"""Flat tries against tries of dictionaries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mmjax.blocks.decoding.trie_walk import (
    child,
    children,
    contains,
    leaf_members,
    lookup,
    nth_child,
)
from mmjax.blocks.decoding.tries import build_trie, leaf_codes, with_items

WORKED = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 0], [3, 0, 0], [3, 0, 0]])
few = settings(max_examples=25)
_children = jax.jit(children, static_argnames="level")
_child = jax.jit(child, static_argnames="level")
_nth_child = jax.jit(nth_child, static_argnames="level")
_lookup = jax.jit(lookup)
_leaf_members = jax.jit(leaf_members, static_argnames="k")
corpora = st.tuples(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 4), st.integers(1, 5))


def corpus(seed, n, length, size):
    return np.random.default_rng(seed).integers(0, size, (n, length))


def nested(codes, items):
    """A trie of dictionaries, with lists of items at the leaves."""
    root = {}
    for code, item in zip(codes.tolist(), items.tolist(), strict=True):
        node = root
        for token in code[:-1]:
            node = node.setdefault(token, {})
        node.setdefault(code[-1], set()).add(item)
    return root


def flattened(tries, length):
    """indptr, token, leaf_ptr and leaf_items of dictionaries, level by level."""
    level, indptr, token = tries, [0], []
    for _ in range(length):
        below = []
        for node in level:
            token += sorted(node)
            below += [node[t] for t in sorted(node)]
            indptr.append(len(token))
        level = below
    indptr += [len(token)] * (len(level) + 1)
    members = [sorted(leaf) for leaf in level]
    return indptr, token, np.cumsum([0, *map(len, members)]), sum(members, [])


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert_array_equal(x, y)
    assert jax.tree.structure(a) == jax.tree.structure(b)


def test_worked_example():
    trie = build_trie(WORKED)
    assert trie.indptr.tolist() == [0, 2, 4, 5, 7, 8, 9, 9, 9, 9, 9, 9]
    assert trie.token[:9].tolist() == [0, 3, 1, 2, 0, 2, 3, 0, 0]
    assert trie.child.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert (trie.branching, trie.leaf0, trie.n_nodes, trie.n_items) == ((2, 2, 2), 6, 10, 5)
    assert trie.leaf_ptr.tolist() == [0, 1, 2, 3, 5]
    assert trie.leaf_items.tolist() == [0, 1, 2, 3, 4]
    assert (trie.length, trie.sizes, trie.token.shape) == (3, (4, 3, 4), (11,))


@given(corpora)
def test_equals_a_trie_of_dictionaries(drawn):
    seed, n, length, size = drawn
    codes = corpus(seed, n, length, size)
    draw = np.random.default_rng(seed)
    items, roots = draw.integers(0, n, n), draw.integers(0, 3, n)
    trie = build_trie(codes, [size] * length, items=items, roots=roots, n_roots=4)
    parts = [nested(codes[roots == r], items[roots == r]) for r in range(4)]
    indptr, token, leaf_ptr, members = flattened(parts, length)
    assert trie.indptr.tolist() == indptr
    assert trie.token[: len(token)].tolist() == token
    assert_array_equal(trie.leaf_ptr, leaf_ptr)
    assert trie.leaf_items.tolist() == members
    # Slots by item are the inverse of items by slot.
    held = np.asarray(trie.item_ptr)
    slots = np.asarray(trie.item_slots)
    assert_array_equal(
        np.asarray(trie.leaf_items)[slots], np.repeat(range(len(held) - 1), np.diff(held))
    )
    assert_array_equal(np.sort(slots), np.arange(len(members)))
    assert trie.copies == np.diff(held).max()


@few
@given(corpora)
def test_the_order_of_the_rows_is_immaterial(drawn):
    codes = corpus(*drawn)
    order = np.random.default_rng(drawn[0]).permutation(len(codes))
    trie = build_trie(codes)
    assert_same(build_trie(codes[order], items=order), trie)
    assert_same(build_trie(np.repeat(codes, 2, 0), items=np.repeat(np.arange(len(codes)), 2)), trie)
    assert_array_equal(leaf_codes(trie), np.unique(codes, axis=0))


def test_accepts_its_rows_and_nothing_else():
    codes = corpus(0, 3000, 4, 12)
    trie = build_trie(codes, [12] * 4)
    others = np.random.default_rng(1).integers(-2, 15, (11_000, 4))
    known = {tuple(code) for code in codes.tolist()}
    others = np.array([code for code in others.tolist() if tuple(code) not in known])
    assert len(others) >= 10_000
    assert (_lookup(trie, jnp.asarray(codes)) >= 0).all()
    assert (_lookup(trie, jnp.asarray(others)) == -1).all()
    leaves = _lookup(trie, jnp.asarray(codes))
    assert_array_equal(leaf_codes(trie)[leaves], codes)
    held = np.diff(trie.leaf_ptr)
    found = np.asarray(_leaf_members(trie, leaves, k=int(held.max())))
    assert (found == np.arange(3000)[:, None]).any(1).all()
    assert_array_equal((found >= 0).sum(1), held[leaves])


def test_members_of_a_leaf():
    trie = build_trie(WORKED)
    leaves = _lookup(trie, jnp.array([[3, 0, 0], [0, 2, 0], [3, 0, 1]]))
    assert leaves.tolist() == [3, 2, -1]
    assert _leaf_members(trie, leaves, k=3).tolist() == [[3, 4, -1], [2, -1, -1], [-1, -1, -1]]
    assert _leaf_members(trie, leaves, k=1).tolist() == [[3], [2], [-1]]


@pytest.mark.parametrize("dense", [False, True])
def test_children_and_child_agree(dense):
    codes = corpus(3, 60, 3, 5)
    trie = build_trie(codes, [5, 5, 7], dense=dense)
    for level in range(3):
        nodes = np.append(np.arange(*trie.first[level : level + 2]), trie.n_nodes).astype(np.int32)
        token, there = (np.asarray(x) for x in _children(trie, jnp.asarray(nodes), level=level))
        assert token.shape[1] == (trie.sizes if dense else trie.branching)[level]
        assert_array_equal(there.sum(1), np.diff(trie.indptr)[nodes])
        every = np.arange(-1, trie.sizes[level] + 1, dtype=np.int32)
        grid = [jnp.asarray(x) for x in np.broadcast_arrays(nodes[:, None], every)]
        found = np.asarray(_child(trie, *grid, level=level))
        hit = (there[:, None] & (token[:, None] == every[:, None])).any(2)
        assert_array_equal(found < trie.n_nodes, hit)
        parent, column = np.nonzero(there)
        picked = _nth_child(trie, *map(jnp.asarray, (nodes[parent], column)), level=level)
        assert_array_equal(picked[0], token[parent, column])
        assert_array_equal(picked[1], found[parent, token[parent, column] + 1])
        assert_array_equal(np.sort(picked[1]), np.arange(*trie.first[level + 1 : level + 3]))


def test_levels_that_are_half_full_have_masks():
    half = np.array([[0, 0, 0], [1, 3, 7], [1, 1, 7], [0, 0, 9]])
    sizes = (2, 5, 5000)
    masks = build_trie(half, sizes).masks
    assert [None if m is None else m.shape for m in masks] == [(2, 2), None, None]
    assert [m is None for m in build_trie(half, sizes, dense=False).masks] == [True] * 3
    every = build_trie(half, sizes, dense=True).masks
    assert [m.shape for m in every] == [(2, 2), (3, 5), (4, 5000)]
    assert np.argwhere(every[1]).tolist() == [[0, 0], [1, 1], [1, 3]]
    wide = np.stack([np.arange(70_000) // 35_000, np.arange(70_000) % 35_000], 1)
    assert [m is None for m in build_trie(wide).masks] == [False, False]
    wide = np.stack([np.arange(70_000) % 35_000, np.arange(70_000) // 35_000 * 999], 1)
    assert [m is None for m in build_trie(wide).masks] == [False, True]


@few
@given(corpora)
def test_more_items_are_as_if_there_from_the_start(drawn):
    codes = corpus(*drawn)
    old, sizes = -(-len(codes) // 2), [drawn[3]] * drawn[2]
    assume(old < len(codes))
    whole = build_trie(codes, sizes, dense=True)
    assert_same(with_items(build_trie(codes[:old], sizes, dense=True), codes[old:]), whole)
    roots = np.arange(len(codes)) % 2
    grown = with_items(
        build_trie(codes[:old], sizes, roots=roots[:old], n_roots=2), codes[old:], roots=roots[old:]
    )
    assert_same(grown, build_trie(codes, sizes, roots=roots, n_roots=2))


def test_roots_are_separate_tries():
    codes = corpus(5, 80, 3, 4)
    roots = np.random.default_rng(5).integers(0, 3, 80)
    roots[roots == 1] = 2
    trie = build_trie(codes, [4] * 3, roots=roots)
    assert trie.n_roots == 3
    every = jnp.asarray(np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), 1))
    for root in (0, 2):
        alone = build_trie(codes[roots == root], [4] * 3, items=np.flatnonzero(roots == root))
        mine, own = _lookup(trie, every, jnp.full(64, root)), _lookup(alone, every)
        assert_array_equal(_leaf_members(trie, mine, k=9), _leaf_members(alone, own, k=9))
    for root in (1, -1, 3):
        assert (_lookup(trie, every, jnp.full(64, root)) == -1).all()


def test_an_item_in_two_categories_has_two_slots():
    trie = build_trie(
        np.array([[1, 2], [1, 2], [0, 2]]), items=np.array([4, 4, 0]), roots=np.array([0, 1, 1])
    )
    assert (trie.n_items, trie.copies) == (5, 2)
    leaves = _lookup(trie, jnp.array([[1, 2], [1, 2]]), jnp.array([0, 1]))
    assert _leaf_members(trie, leaves, k=2).tolist() == [[4, -1], [4, -1]]


def test_a_code_may_end_early():
    trie = build_trie(np.array([[1, 0, 0], [1, 2, 0], [1, 2, 3], [0, 0, 0]]), end=0)
    assert trie.end == 0
    found = contains(trie, jnp.array([[1, 0, 0], [1, 2, 0], [1, 0, 3]]))
    assert found.tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, jnp.int32])
def test_any_integers_will_do(dtype):
    assert_same(build_trie(jnp.asarray(WORKED, jnp.int32).astype(jnp.int32)), build_trie(WORKED))
    assert_same(build_trie(WORKED.astype(dtype)), build_trie(WORKED))


@pytest.mark.parametrize("n", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_memory(n):
    """Below 50 bytes a code of four tokens."""
    trie = build_trie(np.random.default_rng(0).integers(0, 256, (n, 4)))
    assert sum(x.nbytes for x in jax.tree.leaves(trie)) < 50 * n


@pytest.mark.parametrize(
    ("codes", "more", "message"),
    [
        (np.zeros((0, 3), int), {}, "0 rows of 3 levels"),
        (np.zeros((3, 0), int), {}, "3 rows of 0 levels"),
        (np.zeros(3, int), {}, r"codes are int64\[3\]; give an integer array of 2"),
        (np.zeros((3, 2)), {}, "codes are float64"),
        (np.zeros((3, 2), bool), {}, "codes are bool"),
        (np.array([[0, 1], [0, -1]]), {}, "level 1, row 1: token -1 is out of range"),
        (WORKED, {"sizes": (4, 2, 4)}, r"level 1, row 2: token 2 is out of range \(0..1\)"),
        (WORKED, {"sizes": (4, 4)}, "3 levels, but 2 sizes"),
        (WORKED, {"items": np.arange(4)}, "4 items for 5 codes"),
        (WORKED, {"items": np.arange(5) - 1}, "items, row 0: item -1"),
        (WORKED, {"roots": np.arange(5) / 2}, "roots are float64"),
        (WORKED, {"roots": np.arange(5), "n_roots": 4}, "roots, row 4: root 4"),
        (WORKED, {"end": 0}, r"row 0 goes on after the end token 0: \[0, 1, 2\]"),
    ],
)
def test_bad_input_is_one_clear_error(codes, more, message):
    with pytest.raises(ValueError, match=message):
        build_trie(codes, **more)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.array([[0, 1]]), "codes of 2 levels, but 3 sizes"),
        (np.array([[0, 1, 9]]), "level 2, row 0: token 9"),
    ],
)
def test_bad_new_items_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        with_items(build_trie(WORKED), codes)


def test_codes_of_another_length_are_refused():
    with pytest.raises(ValueError, match="codes of 2 levels, the trie has 3"):
        lookup(build_trie(WORKED), jnp.zeros((4, 2), jnp.int32))
