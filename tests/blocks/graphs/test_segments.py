"""Softmax over the edges into a node."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.graph import weighted_graph
from mmjax.blocks.graphs.segments import edge_softmax
from mmjax.blocks.graphs.sparse import LAYOUTS, operator

N = 6


def _graph(hub: int = 70):
    """Receivers in no order; node 5 receives nothing, node 0 more than one ELL piece holds."""
    rng = np.random.default_rng(0)
    receivers = np.concatenate([rng.integers(1, 5, 12), np.zeros(hub, int)])
    receivers = rng.permutation(receivers)
    return weighted_graph(rng.integers(0, N, len(receivers)), receivers, np.ones(12 + hub), N)


def _twin(graph, logits):
    out = np.zeros(len(logits))
    for r in set(graph.receivers.tolist()):
        own = graph.receivers == r
        risen = np.exp(np.float64(logits[own]) - np.float64(logits[own]).max())
        out[own] = risen / risen.sum()
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_follows_its_definition(layout, getkey):
    graph = _graph()
    logits = 3 * jax.random.normal(getkey(), graph.senders.shape)
    weights = edge_softmax(operator(graph, layout=layout), logits, N)
    assert_allclose(weights, _twin(graph, np.asarray(logits)), rtol=1e-5)


@pytest.mark.parametrize("layout", ["csr", "ell"])
def test_huge_logits_are_safe_and_a_shift_does_not_matter(layout, getkey):
    graph = _graph()
    op = operator(graph, layout=layout)
    logits = jax.random.normal(getkey(), graph.senders.shape)
    shift = jnp.array([500.0, -500.0, 0.0, 40.0, -40.0, 0.0])[graph.receivers]
    moved = edge_softmax(op, logits + shift, N)
    assert_allclose(moved, edge_softmax(op, logits, N), rtol=1e-4)
    grads = jax.grad(lambda x: jnp.square(edge_softmax(op, x, N)).sum())(logits + shift)
    assert np.isfinite(grads).all()
    assert np.abs(grads).max() > 0


def test_equal_logits_share_equally():
    graph = weighted_graph(np.array([1, 2, 3, 0]), np.array([0, 0, 0, 2]), np.ones(4), N)
    weights = edge_softmax(operator(graph), jnp.full(4, 7.0), N)
    assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1.0], rtol=1e-6)


@pytest.mark.parametrize("layout", ["csr", "ell"])
def test_gradient(layout, getkey):
    graph = _graph(hub=3)
    op = operator(graph, layout=layout)
    logits = jax.random.normal(getkey(), graph.senders.shape)
    g = jax.random.normal(getkey(), graph.senders.shape)
    f = lambda x: edge_softmax(op, jnp.asarray(x), N) @ g  # noqa: E731
    check_grads(f, (logits,), order=2, modes=["rev"], rtol=2e-2, atol=2e-2)


def test_the_program_for_gpu_has_no_scatter(getkey):
    op = operator(_graph(), layout="ell")
    f = jax.jit(jax.grad(lambda x, op: jnp.square(edge_softmax(op, x, N)).sum()))
    logits = jnp.zeros(op.weights.shape)
    assert "stablehlo.scatter" not in f.lower(logits, op).as_text()
