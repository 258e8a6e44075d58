"""GraphSAGE convolution on a small graph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.graph import normalise, weighted_graph
from mmjax.blocks.graphs.sparse import operator
from mmjax.layers.linear import Linear
from mmjax.layers.sage import SAGEConv

SENDERS, RECEIVERS = np.array([1, 2, 0, 3, 0]), np.array([0, 0, 1, 1, 3])
CONV = SAGEConv(3)


def _graph(senders=SENDERS, receivers=RECEIVERS, times=1.0):
    """Node 2 receives from no one, node 4 has no edge at all."""
    weights = np.full(len(senders), times)
    return operator(normalise(weighted_graph(senders, receivers, weights, 5), "left"))


@pytest.fixture
def case(getkey):
    x = jax.random.normal(getkey(), (5, 4))
    return x, CONV.init(getkey(), _graph(), x)


def test_by_its_definition(case):
    x, variables = case
    p = variables["params"]
    got = CONV.apply(variables, _graph(), x)
    for v in range(5):
        near = SENDERS[RECEIVERS == v]
        mean = np.asarray(x)[near].mean(0) if len(near) else np.zeros(4)
        expected = x[v] @ p["root"]["kernel"] + mean @ p["neighbours"]["kernel"]
        assert_allclose(got[v], expected + p["neighbours"]["bias"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("node", [2, 4])
def test_without_neighbours_the_root_and_the_bias_remain(case, node):
    x, variables = case
    p = variables["params"]
    expected = x[node] @ p["root"]["kernel"] + p["neighbours"]["bias"]
    assert_allclose(CONV.apply(variables, _graph(), x)[node], expected, rtol=1e-5, atol=1e-6)


def test_multiplicities_of_all_edges_do_not_matter(case):
    x, variables = case
    once = CONV.apply(variables, _graph(), x)
    assert_allclose(CONV.apply(variables, _graph(times=7.0), x), once, rtol=1e-5, atol=1e-6)
    twice = _graph(np.tile(SENDERS, 2), np.tile(RECEIVERS, 2))
    assert_allclose(CONV.apply(variables, twice, x), once, rtol=1e-5, atol=1e-6)


def test_permuting_the_nodes_permutes_the_result(case):
    x, variables = case
    order = np.array([3, 0, 4, 1, 2])
    place = np.argsort(order)
    turned = CONV.apply(variables, _graph(place[SENDERS], place[RECEIVERS]), x[order])
    assert_allclose(turned, CONV.apply(variables, _graph(), x)[order], rtol=1e-5, atol=1e-6)


def test_starts_as_pytorch_does(getkey):
    p = Linear(400).init(getkey(), jnp.ones((2, 25)))["params"]
    for x in (p["kernel"], p["bias"]):
        assert_allclose([x.min(), x.max()], [-0.2, 0.2], rtol=0.02)
        assert_allclose(x.std(), 0.2 / 3**0.5, rtol=0.1)
    assert "bias" not in Linear(3, bias=False).init(getkey(), jnp.ones((2, 5)))["params"]
