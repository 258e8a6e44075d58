"""Edge dropout and FREEDOM's degree-sensitive pruning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mmjax.blocks.graphs.edges import degree_pruning, edge_dropout, undirected
from mmjax.blocks.graphs.graph import bipartite, normalise, weighted_graph
from mmjax.blocks.graphs.sparse import operator, spmm

PAIRS = np.unique(np.random.default_rng(0).integers(0, (20, 15), (90, 2)), axis=0)
PLAIN = bipartite(PAIRS, 20, 15)
GRAPH = normalise(PLAIN)


def test_no_dropout_returns_the_weights(getkey):
    w = jnp.asarray(GRAPH.edges)
    assert edge_dropout(getkey(), w, 0.0) is w


def test_dropped_operator_is_right_in_expectation(getkey):
    """Means of 4,000 draws of A x lie within five standard errors of A x."""
    looped = normalise(bipartite(PAIRS, 20, 15, self_loops=True))
    op = operator(looped)
    x = jax.random.normal(getkey(), (35, 3))
    keys = jax.random.split(getkey(), 4000)
    draws = jax.jit(jax.vmap(lambda k: edge_dropout(k, op.weights, 0.3)))(keys)
    error = np.abs(draws.mean(0) - op.weights) / np.asarray(draws.std(0) / 4000**0.5)
    assert error.max() < 5
    np.testing.assert_allclose(spmm(op, x, draws.mean(0)), spmm(op, x), atol=0.08)


def test_survivors_are_scaled_and_directions_drop_on_their_own(getkey):
    w = jnp.asarray(GRAPH.edges)
    dropped = edge_dropout(getkey(), w, 0.5)
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * w[kept], rtol=1e-6)
    back = np.lexsort((GRAPH.receivers, GRAPH.senders))
    agreement = (kept == kept[back]).mean()
    assert 0.3 < agreement < 0.7


def test_the_chosen_pairs_are_distinct_and_counted(getkey):
    edges, w = undirected(GRAPH), jnp.asarray(GRAPH.edges)
    for keep in (0.2, 0.5, 0.99):
        pruned = degree_pruning(getkey(), w, edges, keep=keep)
        there = np.asarray(pruned) != 0
        assert there.sum() == 2 * int(len(PAIRS) * keep)
        cells = set(zip(GRAPH.senders[there], GRAPH.receivers[there], strict=True))
        assert all((r, s) in cells for s, r in cells)


@pytest.mark.parametrize("eps", [0.0, 1e-7])
def test_kept_edges_are_normalised_anew(eps, getkey):
    pruned = np.asarray(
        degree_pruning(getkey(), jnp.asarray(GRAPH.edges), undirected(GRAPH), keep=0.4, eps=eps)
    )
    there = pruned != 0
    smaller = weighted_graph(PLAIN.senders[there], PLAIN.receivers[there], np.ones(there.sum()), 35)
    np.testing.assert_allclose(pruned[there], normalise(smaller, eps=eps).edges, rtol=1e-5)


def test_keeping_all_gives_the_full_operator_exactly(getkey):
    w = jnp.asarray(GRAPH.edges)
    edges = undirected(GRAPH)
    np.testing.assert_array_equal(degree_pruning(getkey(), w, edges, keep=1.0), w)
    assert not degree_pruning(getkey(), w, edges, keep=0.0).any()


def star():
    """User 0 has items 0 to 3, user 1 item 4: pair probabilities 1/2, 1/2, 1/2, 1/2, 1 over 3."""
    pairs = np.array([[0, 0], [0, 1], [0, 2], [0, 3], [1, 4]])
    return normalise(bipartite(pairs, 2, 5))


def test_pairs_are_drawn_by_degree(getkey):
    """One pair of the star at a time: frequencies follow 1 / sqrt(d_u d_i) (chi-square)."""
    graph = star()
    edges, w = undirected(graph), jnp.asarray(graph.edges)
    keys = jax.random.split(getkey(), 6000)
    draw = jax.jit(jax.vmap(lambda k: degree_pruning(k, w, edges, keep=0.2)))
    first = np.asarray((draw(keys) != 0)[:, edges.first])
    assert (first.sum(1) == 1).all()
    lonely = graph.senders[edges.first] + graph.receivers[edges.first] == 1 + 6
    counts = first.sum(0)
    expected = np.where(lonely, 2, 1) / 6 * 6000
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_rarer_ends_are_kept_more_often(getkey):
    edges, w = undirected(GRAPH), jnp.asarray(GRAPH.edges)
    keys = jax.random.split(getkey(), 2000)
    draw = jax.jit(jax.vmap(lambda k: degree_pruning(k, w, edges, keep=0.5)))
    rate = np.asarray((draw(keys) != 0)[:, edges.first].mean(0))
    assert stats.spearmanr(rate, w[edges.first]).statistic > 0.9


def test_pruning_compiles_without_a_scatter(getkey):
    edges, w = undirected(GRAPH), jnp.asarray(GRAPH.edges)
    program = jax.jit(lambda k, w, e: degree_pruning(k, w, e, keep=0.5)).lower(getkey(), w, edges)
    assert "stablehlo.scatter" not in program.as_text()


@pytest.mark.parametrize(
    ("senders", "receivers", "message"),
    [
        ([0, 1], [0, 0], "edge 0 is a self-loop"),
        ([0, 1, 2], [1, 0, 1], r"look at edge 2 \(2 -> 1\)"),
        ([0, 1, 0, 1], [1, 0, 1, 0], "once in each direction"),
        ([0, 0], [1, 1], "once in each direction"),
    ],
)
def test_graphs_that_are_not_undirected_are_refused(senders, receivers, message):
    graph = weighted_graph(np.array(senders), np.array(receivers), np.ones(len(senders)), 3)
    with pytest.raises(ValueError, match=message):
        undirected(graph)


def test_bad_rates_are_refused(getkey):
    w = jnp.asarray(GRAPH.edges)
    with pytest.raises(ValueError, match="keep must lie in"):
        degree_pruning(getkey(), w, undirected(GRAPH), keep=1.5)
    with pytest.raises(ValueError, match="dropout rate"):
        edge_dropout(getkey(), w, 1.0)
