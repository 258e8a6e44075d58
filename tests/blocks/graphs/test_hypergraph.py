"""Soft hyperedges."""

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.hypergraph import gumbel_softmax, hyper_propagate


def test_memberships_by_hand():
    logits = jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
    assert_allclose(
        gumbel_softmax(None, logits, temperature=0.5), [[0.1, 0.9], [0.5, 0.5]], rtol=1e-5
    )


def test_cold_memberships_are_samples_of_the_softmax(getkey):
    logits = jnp.log(jnp.array([0.2, 0.3, 0.5]))[None, :].repeat(4000, 0)
    member = gumbel_softmax(getkey(), logits, temperature=1e-3)
    assert_allclose(member.sum(1), 1.0, rtol=1e-5)
    assert (member.max(1) > 0.99).mean() > 0.98
    assert_allclose(member.mean(0), [0.2, 0.3, 0.5], atol=0.04)


@pytest.mark.parametrize("layers", [1, 3])
def test_is_the_product_of_memberships_up_to_a_constant(layers, getkey):
    users, items, x = (jax.random.uniform(getkey(), s) for s in ((3, 2), (6, 2), (6, 4)))
    e = x
    for _ in range(layers):
        edges = items.T @ e
        e = items @ edges
    scale = (2 / 6) ** layers
    got_users, got_items = hyper_propagate(users, items, x, layers=layers)
    assert_allclose(got_items, scale * e, rtol=1e-4)
    assert_allclose(got_users, scale * users @ edges, rtol=1e-4)


def test_one_edge_of_all_items_carries_their_mean():
    x = jnp.array([[1.0, 0.0], [3.0, 2.0]])
    users, items = hyper_propagate(jnp.ones((3, 1)), jnp.ones((2, 1)), x, layers=4)
    assert_allclose(users, jnp.tile(jnp.array([[2.0, 1.0]]), (3, 1)))
    assert_allclose(items, users[:2])


def test_no_layer_is_refused():
    with pytest.raises(ValueError, match="layers must be >= 1"):
        hyper_propagate(jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.ones((1, 1)), layers=0)
