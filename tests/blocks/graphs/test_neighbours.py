"""Learnt item graphs of k neighbours against the matrix of all pairs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.graphs import neighbours
from mmjax.blocks.graphs.graph import weighted_graph
from mmjax.blocks.graphs.knn import knn_graph

ITEMS = 12


def _features(seed, width=4):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(ITEMS, width)), jnp.float32)


def _dense(graph):
    rows = jnp.arange(graph.index.shape[0])[:, None]
    return jnp.zeros((ITEMS, ITEMS)).at[rows, graph.index].add(graph.weights)


def _dense_learnt(x, k):
    """The same graph by the matrix of all pairs."""
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    similarity = x @ x.T
    values, index = jax.lax.top_k(similarity, k)
    a = jnp.zeros_like(similarity).at[jnp.arange(ITEMS)[:, None], index].set(values)
    d = a.sum(1)
    return a / jnp.sqrt(d[:, None] * d[None, :])


@partial(jax.jit, static_argnames="k")
def _both(x, probe, k):
    def sparse(x):
        return (probe * _dense(neighbours.normalise(neighbours.nearest(x, k=k)))).sum()

    def dense(x):
        return (probe * _dense_learnt(x, k)).sum()

    return jax.value_and_grad(sparse)(x), jax.value_and_grad(dense)(x)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), k=st.sampled_from([1, 4, ITEMS]))
def test_value_and_gradient_equal_the_dense_form(seed, k):
    # Features above zero have cosines above zero, so that the dense form knows no negative degree.
    x = jnp.abs(_features(seed))
    probe = jnp.asarray(np.random.default_rng(seed + 1).normal(size=(ITEMS, ITEMS)), jnp.float32)
    found, expected = _both(x, probe, k)
    assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)
    assert_allclose(found[1], expected[1], rtol=1e-3, atol=1e-4)


def test_two_rows_by_hand():
    # Weights [[1, 3], [2, 2]] of neighbours [[0, 1], [1, 0]]: degrees 4 and 4.
    graph = neighbours.Neighbours(jnp.array([[0, 1], [1, 0]]), jnp.array([[1.0, 3.0], [2.0, 2.0]]))
    assert_allclose(neighbours.normalise(graph).weights, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)


def test_repeated_neighbours_add_up():
    one = neighbours.nearest(_features(0), k=3)
    twice = neighbours.mix([one, one], [0.5, 0.5])
    assert twice.index.shape == (ITEMS, 6)
    found, expected = neighbours.normalise(twice), neighbours.normalise(one)
    assert_allclose(_dense(found), _dense(expected), atol=1e-6)


def test_mix_is_the_weighted_sum():
    a, b = (neighbours.nearest(_features(s), k=k) for s, k in ((1, 3), (2, 5)))
    mixed = neighbours.mix([a, b], jnp.array([0.2, 0.7]))
    assert_allclose(_dense(mixed), 0.2 * _dense(a) + 0.7 * _dense(b), atol=1e-6)


def test_rows_without_positive_sum_are_zero_with_a_finite_gradient():
    index = jnp.array([[0, 1], [1, 0], [2, 0]])

    def normalised(w):
        return neighbours.normalise(neighbours.Neighbours(index, w)).weights

    w = jnp.array([[1.0, 1.0], [0.0, 0.0], [-1.0, 0.5]])
    found = normalised(w)
    assert_allclose(found, [[0.5, 0.0], [0.0, 0.0], [0.0, 0.0]], atol=1e-6)
    assert np.isfinite(jax.grad(lambda w: normalised(w).sum())(w)).all()


def test_a_built_graph_is_read_back():
    x = np.abs(np.asarray(_features(3)))
    graph = knn_graph(x, k=4, kind="cos")
    read = neighbours.from_graph(graph)
    dense = np.zeros((ITEMS, ITEMS), np.float32)
    np.add.at(dense, (graph.receivers, graph.senders), graph.edges)
    assert_array_equal(_dense(read), dense)
    learnt = neighbours.normalise(neighbours.nearest(jnp.asarray(x), k=4))
    assert_allclose(_dense(learnt), dense, atol=1e-6)


def test_unequal_lists_are_refused():
    senders, receivers = np.array([0, 1, 1]), np.array([0, 0, 1])
    graph = weighted_graph(senders, receivers, np.ones(3), 2)
    with pytest.raises(ValueError, match="node 1 reads 1 nodes, but node 0 reads 2"):
        neighbours.from_graph(graph)
    with pytest.raises(ValueError, match="k must lie in 1 to 12"):
        neighbours.nearest(_features(0), k=13)
    with pytest.raises(ValueError, match="zip"):
        neighbours.mix([neighbours.nearest(_features(0), k=1)], [0.5, 0.5])


def test_all_pairs_never_exist_with_the_gradient():
    items = 12_000
    x = jax.ShapeDtypeStruct((items, 8), np.float32)

    def total(x):
        return neighbours.normalise(neighbours.nearest(x, k=10)).weights.sum()

    memory = jax.jit(jax.grad(total)).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * items**2 / 2
