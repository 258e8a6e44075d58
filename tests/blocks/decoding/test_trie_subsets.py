"""A search that leaves items out is the search of a trie without them."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.decoding.trie_subsets import allow, block
from mmjax.blocks.decoding.tries import build_trie
from tests.blocks.decoding.table_models import (
    BATCH,
    TABLES,
    TRIE,
    assert_is_twin,
    corpus,
    items_by_rank,
    on_host,
    search,
    tables,
)

# Few tries, many models and sets: a trie of another shape is compiled anew.
CASES = (
    ((1, 30, 3, 4), 4, 12, "full", block, False),
    ((1, 30, 3, 4), 4, 12, "valid", allow, True),
    ((2, 20, 4, 2), 3, 25, "valid", block, True),
    ((3, 20, 2, 3), 5, 1, "full", allow, False),
    ((4, 6, 2, 1), 2, 8, "full", block, False),
)


@settings(max_examples=30)
@given(st.sampled_from(CASES), st.integers(0, 2**31), st.floats(0, 1))
def test_a_subset_is_a_trie_without_the_rest(case, seed, share):
    drawn, width, m, normalize, kind, dense = case
    codes, sizes = corpus(*drawn)
    n, draw = len(codes), np.random.default_rng(seed)
    t, trie = tables(seed, sizes), build_trie(codes, sizes, dense=dense)
    items = np.where(draw.random((BATCH, m)) < share, draw.integers(-1, n + 2, (BATCH, m)), -1)
    options = {"width": width, "k": n + 1, "normalize": normalize, "kind": kind}
    beams, (found, scores) = on_host(
        search(t, trie, None, jnp.asarray(items, jnp.int32), **options)
    )
    kept = []
    for query in range(BATCH):
        listed = set(items[query].tolist())
        left = {i for i in range(n) if (i in listed) != (kind is block)}
        kept.append(codes[sorted(left)])
        ranked = items_by_rank(beams, codes, query, left)
        assert found[query].tolist() == ranked + [-1] * (n + 1 - len(ranked))
        assert_array_equal(scores[query] > -np.inf, found[query] >= 0)
    assert_is_twin(beams, t, kept, width, normalize)


def test_with_beams_for_all_it_is_the_ranking_of_the_rest():
    draw = np.random.default_rng(1)
    items = draw.integers(0, 50, (BATCH, 20))
    _, (every, every_scores) = on_host(search(TABLES, TRIE, width=50, k=50))
    _, (found, scores) = on_host(
        search(TABLES, TRIE, None, jnp.asarray(items, jnp.int32), width=50, k=50)
    )
    for query in range(BATCH):
        left = ~np.isin(every[query], items[query])
        assert_array_equal(found[query, : left.sum()], every[query, left])
        assert_allclose(scores[query, : left.sum()], every_scores[query, left], rtol=1e-5)
        assert (found[query, left.sum() :] == -1).all()


def test_all_codes_and_categories_of_a_blocked_item_go():
    codes = np.array([[0, 0], [0, 1], [1, 1], [1, 1], [0, 0]])
    items, roots = np.array([0, 0, 1, 2, 0]), np.array([0, 0, 0, 0, 1])
    trie = build_trie(codes, [2, 2], items=items, roots=roots)
    start, blocked = jnp.array([0, 1, 0], jnp.int32), jnp.array([[0], [0], [1]], jnp.int32)
    _, (found, scores) = on_host(search(tables(0, [2, 2]), trie, start, blocked, width=4, k=3))
    assert found[:2].tolist() == [[1, 2, -1], [-1] * 3]
    assert sorted(found[2].tolist()) == [0, 0, 2]
    assert (scores[1] == -np.inf).all()


def test_the_lists_of_a_subset():
    """Items 3 and 4 share a leaf: it closes when both are blocked, with all that leads to it."""
    trie = build_trie(np.array([[0, 1, 2], [0, 1, 3], [0, 2, 0], [3, 0, 0], [3, 0, 0]]))
    most = np.iinfo(np.int32).max
    rows = jnp.array([[4, 3, 4, -1], [3, 0, 1, 9], [-1, -1, -1, 5]], jnp.int32)
    subset = on_host(jax.jit(block)(trie, rows))
    assert subset.slots.tolist() == [[3, 4, most, most], [0, 1, 3, most], [most] * 4]
    nodes = [[[x for x in row if x < most] for row in level.tolist()] for level in subset.nodes]
    assert nodes == [[[2], [], []], [[5], [3], []], [[9], [6, 7], []]]
    nodes = [
        [[x for x in row if x < most] for row in level.tolist()]
        for level in on_host(jax.jit(allow)(trie, rows)).nodes
    ]
    assert nodes == [[[2], [1, 2], []], [[5], [3, 5], []], [[9], [6, 7, 9], []]]


def test_nothing_of_the_size_of_the_trie_is_made():
    subset = jax.eval_shape(block, TRIE, jnp.zeros((BATCH, 4), jnp.int32))
    assert {x.shape for x in (subset.slots, *subset.nodes)} == {(BATCH, 4)}
