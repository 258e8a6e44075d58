"""`spmm` against a numpy twin and jraph; gradients, memory, and no scatter in the program."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads

from mmjax.blocks.graphs import ell
from mmjax.blocks.graphs import graph as graphs
from mmjax.blocks.graphs.sparse import csr_product, edge_dots, operator, spmm

LAYOUTS = ["csr", "ell", "dense", "segment"]
GATHER_ONLY = ["csr", "ell"]


def directed(senders, receivers, weights, n):
    return graphs.weighted_graph(np.asarray(senders), np.asarray(receivers), weights, n)


def random_graph(seed, n, e, *, hub=0):
    """Random directed graph with repeated edges and self-loops; `hub` more edges into node 0."""
    rng = np.random.default_rng(seed)
    senders = rng.integers(0, n, e + hub)
    receivers = np.concatenate([rng.integers(0, n, e), np.zeros(hub, int)])
    return directed(senders, receivers, rng.normal(size=e + hub).astype(np.float32), n)


def twin(graph, x, weights=None):
    """The definition, one edge at a time."""
    y = np.zeros(x.shape, np.float64)
    weights = graph.edges if weights is None else np.asarray(weights)
    for s, r, w in zip(graph.senders, graph.receivers, weights, strict=True):
        y[r] += float(w) * np.asarray(x[s], np.float64)
    return y


@st.composite
def cases(draw):
    """Few shapes, so that the compiled programs are reused; anything inside them."""
    n, e = draw(st.sampled_from([(1, 0), (1, 3), (6, 1), (6, 30)]))
    ends = hnp.arrays(np.int32, e, elements=st.integers(0, n - 1))
    weights = draw(hnp.arrays(np.float32, e, elements=st.floats(-2, 2, width=32)))
    x = draw(hnp.arrays(np.float32, (n, 2), elements=st.floats(-2, 2, width=32)))
    return directed(draw(ends), draw(ends), weights, n), x


@jax.jit
def product_and_gradients(op, x, g):
    y, pull = jax.vjp(lambda x, w: spmm(op, x, w), x, op.weights)
    return y, spmm(op, x), *pull(g)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=12)
@given(case=cases())
def test_product_and_gradients_equal_the_definition(layout, case):
    graph, x = case
    g = np.cos(np.arange(x.size, dtype=np.float32)).reshape(x.shape)
    op = operator(graph, layout=layout)
    y, constant, dx, dw = product_and_gradients(op, jnp.asarray(x), jnp.asarray(g))
    np.testing.assert_allclose(y, twin(graph, x), atol=1e-4)
    np.testing.assert_allclose(constant, twin(graph, x), atol=1e-4)
    turned = graph._replace(senders=graph.receivers, receivers=graph.senders)
    np.testing.assert_allclose(dx, twin(turned, g), atol=1e-4)
    np.testing.assert_allclose(dw, (g[graph.receivers] * x[graph.senders]).sum(1), atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_long_rows_empty_rows_and_scipy(layout, getkey):
    graph = random_graph(0, 40, 90, hub=3000)
    n = 40
    a = scipy.sparse.coo_matrix((graph.edges, (graph.receivers, graph.senders)), (n, n)).tocsr()
    assert np.diff(a.indptr).min() == 0 or np.bincount(graph.receivers, minlength=n).min() == 0
    x = jax.random.normal(getkey(), (n, 5))
    op = operator(graph, layout=layout)
    np.testing.assert_allclose(spmm(op, x), a @ np.asarray(x), rtol=1e-4, atol=1e-3)
    dx = jax.vjp(lambda x: spmm(op, x), x)[1](x)[0]
    np.testing.assert_allclose(dx, a.T @ np.asarray(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_agrees_with_jraph(layout, getkey):
    """The same sum as jraph's GraphNetwork-style message passing, values and gradients."""
    graph = random_graph(1, 30, 200)
    x = jax.random.normal(getkey(), (30, 4))

    def reference(x, w):
        messages = w[:, None] * x[graph.senders]
        return jraph.segment_sum(messages, jnp.asarray(graph.receivers), 30)

    op = operator(graph, layout=layout)

    def loss(f):
        return jax.grad(lambda x, w: (f(x, w) ** 3).sum(), argnums=(0, 1))

    ours = loss(lambda x, w: spmm(op, x, w))(x, op.weights)
    theirs = loss(reference)(x, op.weights)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_right_to_second_order(layout, getkey):
    graph = random_graph(2, 7, 20)
    op = operator(graph, layout=layout)
    x = jax.random.normal(getkey(), (7, 2))
    tolerance = {"rtol": 2e-2, "atol": 2e-2}
    product = jax.jit(lambda x, w: spmm(op, jnp.asarray(x), jnp.asarray(w)))
    check_grads(product, (x, op.weights), 2, modes=["rev"], **tolerance)
    constant = jax.jit(lambda x: spmm(op, jnp.asarray(x)))
    check_grads(constant, (x,), 2, modes=["rev"], **tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_own_weights_are_constants(layout):
    op = operator(random_graph(3, 6, 15), layout=layout)
    x = jnp.ones((6, 2))

    def loss(op):
        return spmm(op, x).sum()

    gradient = jax.grad(lambda w: loss(dataclasses.replace(op, weights=w)))(op.weights)
    assert not gradient.any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_constant_weights_use_the_right_transpose(layout, symmetric, getkey):
    pairs = np.array([[0, 0], [0, 1], [1, 1], [2, 0]])
    graph = graphs.normalise(graphs.bipartite(pairs, 3, 2), "sym" if symmetric else "left")
    op = operator(graph, layout=layout)
    assert op.symmetric == (symmetric and layout in GATHER_ONLY)
    g = jax.random.normal(getkey(), (5, 3))
    dx = jax.vjp(lambda x: spmm(op, x), g)[1](g)[0]
    turned = graph._replace(senders=graph.receivers, receivers=graph.senders)
    np.testing.assert_allclose(dx, twin(turned, np.asarray(g)), atol=1e-6)


def test_a_symmetric_graph_stores_its_structure_once():
    pairs = np.unique(np.random.default_rng(0).integers(0, (30, 20), (200, 2)), axis=0)
    for layout in GATHER_ONLY:
        structure = operator(graphs.bipartite(pairs, 30, 20), layout=layout).structure
        leaves = jax.tree.leaves(structure)
        assert len({id(leaf) for leaf in leaves}) < len(leaves)
    rows, columns = structure.rows, structure.columns
    for a, b in zip(rows.buckets, columns.buckets, strict=True):
        assert a.neighbours is b.neighbours


@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_and_equivariant_to_relabelling(layout, getkey):
    graph = random_graph(4, 25, 100)
    op = operator(graph, layout=layout)
    x, y = jax.random.normal(getkey(), (2, 25, 3))
    left = spmm(op, 2 * x - 3 * y)
    np.testing.assert_allclose(left, 2 * spmm(op, x) - 3 * spmm(op, y), atol=1e-4)
    new = np.random.default_rng(0).permutation(25)
    renamed = graph._replace(senders=new[graph.senders], receivers=new[graph.receivers])
    moved = jnp.zeros_like(x).at[new].set(x)
    y = spmm(operator(renamed, layout=layout), moved)
    np.testing.assert_allclose(y[new], spmm(op, x), atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_sums_in_float32(layout, getkey):
    graph = random_graph(5, 10, 4000)
    graph = graph._replace(edges=np.abs(graph.edges))
    op = operator(graph, layout=layout)
    x = jax.random.uniform(getkey(), (10, 4)).astype(jnp.bfloat16)
    y = spmm(op, x)
    assert y.dtype == jnp.bfloat16
    exact = twin(graph, np.asarray(x, np.float32))
    np.testing.assert_allclose(np.asarray(y, np.float32), exact, rtol=2**-8)
    w = op.weights.astype(jnp.bfloat16)
    dx, dw = jax.grad(lambda x, w: spmm(op, x, w).astype(jnp.float32).sum(), (0, 1))(x, w)
    assert dx.dtype == dw.dtype == jnp.bfloat16


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_bad_row_spoils_only_its_readers(layout):
    """Padding must not read node 0: a NaN there reaches its neighbours and nobody else."""
    graph = directed([0, 1, 2, 1, 2], [1, 2, 3, 3, 3], np.ones(5, np.float32), 4)
    x = jnp.ones((4, 2)).at[0].set(jnp.nan)
    if layout == "dense":
        pytest.skip("a dense product multiplies every entry by zero")
    bad = jnp.isnan(spmm(operator(graph, layout=layout), x)).any(1)
    np.testing.assert_array_equal(bad, [False, True, False, False])


def compiled(layout, *, learned, n=2000, e=60_000, d=64):
    graph = random_graph(6, n, e)
    op = operator(graph, layout=layout)
    x = jnp.ones((n, d))

    def step(op, w, x):
        y, pull = jax.vjp(lambda x, w: spmm(op, x, w if learned else None), x, w)
        return y, pull(y)[: 1 + learned]

    return jax.jit(step).lower(op, op.weights, x).compile()


def scatters(program):
    """Instructions that scatter, or that XLA made out of a scatter (CPU turns it into a loop)."""
    return re.findall(r"\bscatter\(|op_name=\"[^\"]*/scatter", program.as_text())


@pytest.mark.parametrize("layout", GATHER_ONLY)
@pytest.mark.parametrize("learned", [False, True])
def test_no_scatter_and_little_memory(layout, learned):
    program = compiled(layout, learned=learned)
    assert not scatters(program)
    assert program.memory_analysis().temp_size_in_bytes < 60_000 * 64 * 4 / 4


def test_the_test_for_scatters_would_see_one():
    assert scatters(compiled("segment", learned=False))


@pytest.mark.parametrize("layout", GATHER_ONLY)
def test_weights_that_are_not_differentiated_cost_no_gradient(layout):
    """No program part that forms one dot product per edge, nor x among the residuals."""
    op = operator(random_graph(7, 50, 300), layout=layout)
    x = jnp.ones((50, 4))
    y, pull = jax.vjp(lambda x: spmm(op, x, 2 * op.weights), x)
    kept = [a for a in jax.tree.leaves(pull) if getattr(a, "shape", None) == x.shape]
    assert not kept
    np.testing.assert_allclose(y, 2 * spmm(op, x), rtol=1e-5, atol=1e-5)


def test_auto_is_csr_on_cpu():
    assert operator(random_graph(0, 3, 4)).layout == "csr"


def test_csr_product_with_a_traced_structure(getkey):
    a = scipy.sparse.random(20, 30, 0.2, format="csr", random_state=0, dtype=np.float32)
    x = jax.random.normal(getkey(), (30, 6))
    arrays = [jnp.asarray(v) for v in (a.data, a.indices, a.indptr)]
    np.testing.assert_allclose(jax.jit(csr_product)(*arrays, x), a @ np.asarray(x), atol=1e-5)
    batch = jnp.stack([arrays[0], 2 * arrays[0]])
    y = jax.vmap(csr_product, (0, None, None, None))(batch, *arrays[1:], x)
    np.testing.assert_allclose(y[1], 2 * (a @ np.asarray(x)), atol=1e-5)
    half = csr_product(arrays[0], arrays[1], arrays[2], x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16


def graph_with(**changes):
    return random_graph(8, 4, 6)._replace(**changes)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (graph_with(edges=None), "one floating-point weight per edge"),
        (graph_with(edges=np.ones(6, np.int32)), "got int32"),
        (graph_with(edges=np.array([1, 1, np.nan, 1, 1, 1], np.float32)), "edge 2 is not finite"),
        (graph_with(senders=np.array([0, 1, 2, 3, 4, 0])), r"senders\[4\] is 4"),
        (graph_with(receivers=np.array([0, -1, 2, 3, 3, 0])), r"receivers\[1\] is -1"),
        (graph_with(n_node=np.array([2, 2])), "takes one graph, got 2"),
    ],
)
def test_bad_graphs_are_refused(graph, message):
    with pytest.raises(ValueError, match=message):
        operator(graph)


def test_unknown_layouts_are_refused():
    with pytest.raises(ValueError, match="layout must be one of"):
        operator(random_graph(0, 3, 4), layout="coo")


def test_both_forms_of_a_bucket_agree(getkey):
    """The loop runs on CPU and TPU, the unrolled form on GPU."""
    neighbours = jax.random.randint(getkey(), (20, 16), 0, 30)
    weights = jax.random.normal(getkey(), (20, 16))
    x = jax.random.normal(getkey(), (30, 5))
    expected = np.einsum("bk,bkd->bd", weights, np.asarray(x)[np.asarray(neighbours)])
    for form in (ell._looped, ell._unrolled):
        np.testing.assert_allclose(form(weights, neighbours, x), expected, atol=1e-5)


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_other_devices_only_gather(platform):
    """Lowered for a device that is not here: no scatter, and on a GPU no loop in the forward."""
    op = operator(random_graph(9, 200, 3000, hub=500), layout="ell")
    x = jnp.ones((200, 8))

    def lowered(f, *args):
        return jax.jit(f).trace(*args).lower(lowering_platforms=(platform,)).as_text()

    forward = lowered(spmm, op, x)
    assert ("stablehlo.while" in forward) == (platform == "tpu")
    both = lowered(jax.grad(lambda x, w, op: spmm(op, x, w).sum(), (0, 1)), x, op.weights, op)
    assert "stablehlo.gather" in both and "stablehlo.scatter" not in both


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dots_along_edges(layout, getkey):
    graph = random_graph(3, 6, 30)
    op = operator(graph, layout=layout)
    left, right = jax.random.normal(getkey(), (6, 3)), jax.random.normal(getkey(), (6, 3))
    expected = [left[r] @ right[s] for s, r in zip(graph.senders, graph.receivers, strict=True)]
    np.testing.assert_allclose(edge_dots(op, left, right), np.array(expected), rtol=1e-4, atol=1e-6)
    dots = jax.jit(lambda a, b: edge_dots(op, jnp.asarray(a), jnp.asarray(b)))
    check_grads(dots, (left, right), 2, modes=["rev"], rtol=2e-2, atol=2e-2)


def test_a_column_of_ones_reads_the_other_end(getkey):
    graph = random_graph(4, 6, 30)
    x, ones = jax.random.normal(getkey(), (6, 1)), jnp.ones((6, 1))
    op = operator(graph)
    np.testing.assert_array_equal(edge_dots(op, x, ones), x[graph.receivers, 0])
    np.testing.assert_array_equal(edge_dots(op, ones, x), x[graph.senders, 0])
