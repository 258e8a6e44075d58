"""Nearest-neighbour item graphs: exact against numpy, in blocks, and normalised as published."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.blocks.graphs.graph import weighted_graph
from mmjax.blocks.graphs.knn import (
    _search,
    content_key,
    cosine_neighbours,
    knn_graph,
    max_pool,
    mix,
)


def features(seed=0, items=23, width=6):
    return np.random.default_rng(seed).normal(size=(items, width)).astype(np.float32)


def dense(graph):
    n = int(graph.n_node.sum())
    a = np.zeros((n, n))
    np.add.at(a, (graph.receivers, graph.senders), graph.edges)
    return a


def cosines(x):
    x = x.astype(np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return x @ x.T


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), block=st.sampled_from([0, 1, 5, 23, 40]))
def test_neighbours_equal_a_full_sort(seed, block):
    x = features(seed)
    index, cosine = cosine_neighbours(x, k=4, block=block)
    full = cosines(x)
    np.testing.assert_array_equal(index, np.argsort(-full, axis=1)[:, :4])
    np.testing.assert_allclose(cosine, -np.sort(-full, axis=1)[:, :4], atol=1e-5)
    np.testing.assert_array_equal(index[:, 0], np.arange(23))


def test_binary_graph_has_k_entries_of_one_over_k():
    a = dense(knn_graph(features(), k=10))
    assert ((a != 0).sum(1) == 10).all()
    np.testing.assert_array_equal(a[a != 0], np.float32(0.1))
    assert (np.diag(a) > 0).all()
    assert (a != a.T).any()


def test_cosine_graph_is_normalised_by_row_sums():
    x = np.abs(features())
    full = cosines(x)
    keep = np.argsort(-full, axis=1)[:, :5]
    w = np.zeros_like(full)
    np.put_along_axis(w, keep, np.take_along_axis(full, keep, 1), 1)
    d = w.sum(1)
    graph = knn_graph(x, k=5, kind="cos")
    np.testing.assert_allclose(dense(graph), w / np.sqrt(np.outer(d, d)), rtol=1e-4, atol=1e-7)


def test_an_item_is_its_own_neighbour_among_its_copies():
    x = np.ones((6, 3), np.float32)
    index, cosine = cosine_neighbours(x, k=2)
    np.testing.assert_array_equal(index[:, 0], np.arange(6))
    np.testing.assert_allclose(cosine, 1, rtol=1e-6)


def test_items_without_features_do_no_harm():
    x = features()
    x[3] = 0
    index, cosine = cosine_neighbours(x, k=4)
    assert not np.asarray(cosine)[3].any()
    assert index[3, 0] == 3
    assert np.isfinite(knn_graph(x, k=4, kind="cos").edges).all()


def test_mix_is_the_weighted_sum():
    a, b = knn_graph(features(1)), knn_graph(features(2), kind="cos", k=3)
    mixed = mix([a, b], [0.1, 0.9])
    np.testing.assert_allclose(dense(mixed), 0.1 * dense(a) + 0.9 * dense(b), atol=1e-7)
    cells = mixed.receivers.astype(int) * 23 + mixed.senders
    assert (np.diff(cells) > 0).all()


def test_mixed_binary_rows_sum_to_one():
    mixed = mix([knn_graph(features(1)), knn_graph(features(2))], [0.1, 0.9])
    np.testing.assert_allclose(dense(mixed).sum(1), 1, rtol=1e-6)


def test_max_pool_takes_the_largest_weight_of_those_that_have_the_edge():
    a = weighted_graph(np.array([0, 1]), np.array([0, 0]), np.array([0.5, -0.2]), 3)
    b = weighted_graph(np.array([0, 2]), np.array([0, 0]), np.array([0.1, 0.3]), 3)
    pooled = max_pool([a, b])
    np.testing.assert_allclose(dense(pooled)[0], [0.5, -0.2, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(pooled.senders, [0, 1, 2])
    graphs = [knn_graph(features(n), k=4, kind="cos") for n in range(3)]
    expected = np.max([np.where((d := dense(g)) != 0, d, -np.inf) for g in graphs], axis=0)
    np.testing.assert_array_equal(dense(max_pool(graphs)), np.where(expected > -9, expected, 0))
    np.testing.assert_array_equal(dense(max_pool(graphs[:1])), dense(graphs[0]))
    with pytest.raises(ValueError, match="at least one graph"):
        max_pool([])
    with pytest.raises(ValueError, match="same nodes"):
        max_pool([a, knn_graph(features(), k=2)])


def test_all_pairs_never_exist():
    items, block = 3000, 100
    x = jax.ShapeDtypeStruct((items, 8), np.float32)
    program = _search.lower(x, k=10, block=block).compile()
    assert program.memory_analysis().temp_size_in_bytes < items * items * 4 / 4


def test_content_key_sees_values_shape_type_and_settings():
    x = features()
    changed = x.copy()
    changed[0, 0] += 1
    keys = {
        content_key(x, k=10),
        content_key(x, k=9),
        content_key(changed, k=10),
        content_key(x.reshape(-1, 2), k=10),
        content_key(x.astype(np.float64), k=10),
    }
    assert len(keys) == 5
    assert content_key(x, k=10) == content_key(np.asfortranarray(x), k=10)


def test_bad_arguments_are_refused():
    x = features()
    broken = x.copy()
    broken[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"item 7 are not finite \(1 such"):
        knn_graph(broken)
    with pytest.raises(ValueError, match="k must lie in 1 to 23"):
        knn_graph(x, k=24)
    with pytest.raises(ValueError, match="block must be >= 0"):
        cosine_neighbours(x, block=-1)
    with pytest.raises(ValueError, match="kind must be one of"):
        knn_graph(x, kind="dot")
    with pytest.raises(ValueError, match="2 graphs and 1 weights"):
        mix([knn_graph(x), knn_graph(x)], [1.0])
    with pytest.raises(ValueError, match="same nodes"):
        mix([knn_graph(x), knn_graph(x[:12])], [0.5, 0.5])
