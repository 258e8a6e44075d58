"""Graph building, normalisation and propagation, with the hand-worked numbers of MIG-GT."""

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.blocks.graphs.graph import (
    bipartite,
    degrees,
    lightgcn,
    mgdcf,
    mgdcf_gamma,
    normalise,
    weighted_graph,
)
from mmjax.blocks.graphs.sparse import operator

TOY = np.array([[0, 0], [0, 1], [1, 1]])


def dense(graph):
    n = int(graph.n_node.sum())
    a = np.zeros((n, n))
    np.add.at(a, (graph.receivers, graph.senders), graph.edges)
    return a


@st.composite
def pair_sets(draw):
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    cells = draw(st.sets(st.integers(0, n_users * n_items - 1)))
    pairs = np.array([divmod(c, n_items) for c in cells], np.int32).reshape(-1, 2)
    return pairs, n_users, n_items


@settings(max_examples=50)
@given(case=pair_sets(), loops=st.booleans())
def test_bipartite_is_the_symmetric_block_matrix(case, loops):
    pairs, n_users, n_items = case
    a = dense(bipartite(pairs, n_users, n_items, self_loops=loops))
    expected = np.eye(n_users + n_items) * loops
    expected[pairs[:, 0], n_users + pairs[:, 1]] = 1
    expected[n_users + pairs[:, 1], pairs[:, 0]] = 1
    np.testing.assert_array_equal(a, expected)


@settings(max_examples=50)
@given(case=pair_sets(), loops=st.booleans(), eps=st.sampled_from([0.0, 1e-7, 0.5]))
def test_normalise_equals_scipy(case, loops, eps):
    graph = bipartite(*case, self_loops=loops)
    a = scipy.sparse.csr_matrix(dense(graph))
    d = np.asarray(a.sum(1)).ravel() + eps
    with np.errstate(divide="ignore"):
        half, whole = (scipy.sparse.diags(np.where(d > 0, d**p, 0)) for p in (-0.5, -1.0))
    for kind, expected in (
        ("sym", half @ a @ half),
        ("left", whole @ a),
        ("right", a @ whole),
    ):
        ours = normalise(graph, kind, eps=eps)
        np.testing.assert_allclose(dense(ours), expected.toarray(), rtol=1e-6)
        np.testing.assert_array_equal(ours.senders, graph.senders)


def test_nodes_without_edges_get_zero_rows_and_no_nan():
    graph = normalise(bipartite(TOY, 3, 3))
    a = dense(graph)
    assert np.isfinite(a).all()
    assert not a[2].any() and not a[:, 5].any()


def test_directed_graphs_normalise_rows_by_rows_and_columns_by_columns():
    graph = weighted_graph(np.array([0, 1, 1]), np.array([1, 0, 2]), np.array([2.0, 3, 4]), 3)
    np.testing.assert_allclose(dense(normalise(graph, "left")).sum(1), [1, 1, 1])
    np.testing.assert_allclose(dense(normalise(graph, "right")).sum(0), [1, 1, 0])
    np.testing.assert_array_equal(degrees(graph, of="receivers"), [3, 2, 4])
    np.testing.assert_array_equal(degrees(graph, of="senders"), [2, 7, 0])
    np.testing.assert_allclose(dense(normalise(graph))[2, 1], 4 / np.sqrt(4 * 2))


def test_graphs_are_jraphs():
    """Valid fields: jraph batches, pads and unbatches them, and edges come in receiver order."""
    graph = bipartite(TOY, 2, 2, self_loops=True)
    assert graph.n_node.tolist() == [4] and graph.n_edge.tolist() == [10]
    assert graph.senders.dtype == graph.receivers.dtype == np.int32
    assert (np.diff(graph.receivers) >= 0).all()
    pair = jraph.batch_np([graph, graph])
    np.testing.assert_array_equal(jraph.unbatch_np(pair)[1].senders, graph.senders)
    padded = jraph.pad_with_graphs(pair, n_node=16, n_edge=32, n_graph=3)
    assert padded.edges.shape == (32,)


@pytest.mark.parametrize(
    ("alpha", "beta", "hops", "expected"),
    [
        (0.1, 0.9, 1, [2.70227, 2.569694, 2.017423, 2.634847]),
        (0.1, 0.9, 2, [2.442384, 2.324467, 2.200718, 2.945301]),
        (0.2, 0.7, 1, [2.471098, 2.492328, 2.150860, 2.820238]),
        (0.2, 0.7, 2, [2.246234, 2.301733, 2.304914, 3.074938]),
    ],
)
@pytest.mark.parametrize("layout", ["csr", "ell", "dense", "segment"])
def test_mgdcf_by_hand(alpha, beta, hops, expected, layout):
    graph = bipartite(TOY, 2, 2, self_loops=True)
    np.testing.assert_array_equal(degrees(graph, of="receivers"), [3, 2, 2, 3])
    op = operator(normalise(graph), layout=layout)
    z = mgdcf(op, jnp.array([[1.0], [2.0], [3.0], [4.0]]), hops=hops, alpha=alpha, beta=beta)
    np.testing.assert_allclose(z[:, 0], expected, atol=2e-6)


@given(alpha=st.floats(0.01, 1, exclude_max=True), hops=st.integers(0, 12), beta=st.floats(0.01, 1))
def test_gamma(alpha, hops, beta):
    assert mgdcf_gamma(hops, alpha, 1 - alpha) == pytest.approx(1)
    series = beta**hops + alpha * sum(beta**i for i in range(hops))
    assert mgdcf_gamma(hops, alpha, beta) == pytest.approx(series)


def test_gamma_by_hand():
    assert mgdcf_gamma(2, 0.2, 0.7) == pytest.approx(0.83)


def random_operator(seed=0):
    pairs = np.unique(np.random.default_rng(seed).integers(0, (12, 9), (40, 2)), axis=0)
    return pairs, operator(normalise(bipartite(pairs, 12, 9, self_loops=True)))


def test_mgdcf_without_hops_is_the_identity(getkey):
    h = jax.random.normal(getkey(), (21, 4))
    assert mgdcf(random_operator()[1], h, hops=0) is h


def test_mgdcf_is_linear_and_keeps_what_propagation_keeps(getkey):
    _, op = random_operator()
    a, b = jax.random.normal(getkey(), (2, 21, 4))
    mixed = mgdcf(op, 2 * a - b, hops=3)
    np.testing.assert_allclose(
        mixed, 2 * mgdcf(op, a, hops=3) - mgdcf(op, b, hops=3), rtol=1e-4, atol=1e-5
    )
    root = np.sqrt(degrees(bipartite(random_operator()[0], 12, 9, self_loops=True), of="senders"))
    fixed = jnp.asarray(root, jnp.float32)[:, None]
    np.testing.assert_allclose(mgdcf(op, fixed, hops=5), fixed, rtol=1e-5)


def test_mgdcf_is_equivariant_to_relabelling(getkey):
    pairs, op = random_operator()
    rng = np.random.default_rng(1)
    users, items = rng.permutation(12), rng.permutation(9)
    renamed = np.stack([users[pairs[:, 0]], items[pairs[:, 1]]], 1)
    other = operator(normalise(bipartite(renamed, 12, 9, self_loops=True)))
    h = jax.random.normal(getkey(), (21, 4))
    new = np.concatenate([users, 12 + items])
    moved = jnp.zeros_like(h).at[new].set(h)
    np.testing.assert_allclose(
        mgdcf(other, moved, hops=3)[new], mgdcf(op, h, hops=3), rtol=1e-5, atol=1e-6
    )


def test_other_weights_are_differentiated(getkey):
    _, op = random_operator()
    h = jax.random.normal(getkey(), (21, 4))
    np.testing.assert_allclose(
        mgdcf(op, h, hops=2, weights=op.weights), mgdcf(op, h, hops=2), rtol=1e-6
    )
    slope = jax.grad(lambda w: (mgdcf(op, h, hops=2, weights=w) ** 2).sum())(op.weights)
    assert jnp.abs(slope).max() > 0


def test_lightgcn_of_one_pair_is_the_mean():
    op = operator(normalise(bipartite(np.array([[0, 0]]), 1, 1)))
    h = jnp.array([[1.0, 5.0], [3.0, -1.0]])
    np.testing.assert_allclose(lightgcn(op, h, layers=1), [[2, 2], [2, 2]], rtol=1e-6)
    np.testing.assert_array_equal(lightgcn(op, h, layers=0), h)


def test_lightgcn_is_the_mean_of_powers(getkey):
    pairs, _ = random_operator(3)
    graph = normalise(bipartite(pairs, 12, 9))
    h = jax.random.normal(getkey(), (21, 4))
    powers = [np.linalg.matrix_power(dense(graph), k) @ np.asarray(h) for k in range(4)]
    ours = lightgcn(operator(graph), h, layers=3)
    np.testing.assert_allclose(ours, np.mean(powers, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (np.zeros((3, 3), int), r"int\[p, 2\], got int64\[3, 3\]"),
        (np.zeros((3, 2)), "got float64"),
        (np.array([[0, 0], [2, 1]]), r"pairs\[1\] has user 2, but user ids run from 0 to 1"),
        (np.array([[0, 0], [1, -1]]), r"pairs\[1\] has item -1"),
        (np.array([[0, 1], [1, 1], [0, 1]]), r"\(user 0, item 1\) occurs 2 times"),
    ],
)
def test_bad_pairs_are_refused(pairs, message):
    bare = getattr(bipartite, "__wrapped__", bipartite)
    with pytest.raises(ValueError, match=message):
        bare(pairs, 2, 2)


def test_bad_arguments_are_refused():
    graph = bipartite(TOY, 2, 2)
    op = operator(graph)
    with pytest.raises(ValueError, match="kind must be one of"):
        normalise(graph, "both")
    with pytest.raises(ValueError, match="one weight per edge"):
        normalise(graph._replace(edges=None))
    with pytest.raises(ValueError, match="node 0 has negative degree"):
        normalise(graph._replace(edges=-graph.edges))
    with pytest.raises(ValueError, match="leave the modality out"):
        mgdcf(op, jnp.ones((4, 1)), hops=-1)
    with pytest.raises(ValueError, match="layers must be >= 0"):
        lightgcn(op, jnp.ones((4, 1)), layers=-1)
