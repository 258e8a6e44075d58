"""Gradients through a choice of code."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation.codes import nearest
from mmjax.blocks.quantisation.estimators import gumbel_mixture, rotate, straight_through


@jax.jit
def _rotated(x, q):
    return rotate(x, q), jax.jacobian(rotate)(x, q)


VECTORS = st.integers(0, 2**20).map(
    lambda seed: tuple(jax.random.normal(jax.random.key(seed), (2, 4)))
)


@pytest.mark.parametrize(
    ("x", "q", "jacobian"),
    [
        ([2.0, 0.0], [0.0, 1.0], [[0.0, -0.5], [0.5, 0.0]]),
        ([3.0, 4.0], [4.0, 3.0], [[0.96, 0.28], [-0.28, 0.96]]),
    ],
)
def test_rotation_by_hand(x, q, jacobian):
    x, q = jnp.array(x), jnp.array(q)
    y, found = _rotated(x, q)
    assert_array_equal(y, q)
    assert_allclose(found, jacobian, atol=1e-6)


@settings(max_examples=20)
@given(VECTORS)
def test_rotation_is_a_scaled_rotation_of_x_onto_q(vectors):
    x, q = vectors
    y, jacobian = _rotated(x, q)
    assert_allclose(y, q, atol=1e-5)
    assert_allclose(jacobian @ x, q, rtol=1e-4, atol=1e-4)
    scale = jnp.linalg.norm(q) / jnp.linalg.norm(x)
    assert_allclose(jacobian @ jacobian.T, scale**2 * jnp.eye(4), atol=1e-3 * scale**2)
    assert_allclose(jnp.linalg.det(jacobian / scale), 1.0, rtol=1e-3)


@pytest.mark.parametrize("estimate", [straight_through, rotate])
def test_the_chosen_vector_gets_no_gradient(estimate, getkey):
    x, q = jax.random.normal(getkey(), (2, 5, 3))
    assert not jax.jacobian(estimate, 1)(x, q).any()


def test_straight_through_is_the_vector_with_the_identity(getkey):
    x, q = jax.random.normal(getkey(), (2, 3))
    assert_array_equal(straight_through(x, q), q)
    assert_array_equal(jax.jacobian(straight_through)(x, q), jnp.eye(3))


@pytest.mark.parametrize(
    ("x", "q"),
    [
        ([0.0, 0.0], [1.0, 0.0]),
        ([1.0, 0.0], [0.0, 0.0]),
        ([2.0, 1.0], [-4.0, -2.0]),
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_without_a_rotation_it_is_straight_through(x, q):
    x, q = jnp.array(x), jnp.array(q)
    y, jacobian = _rotated(x, q)
    assert_array_equal(y, q)
    assert_array_equal(jacobian, jnp.eye(2))


def test_a_cold_mixture_is_one_code_and_a_hot_one_the_mean(getkey):
    x, c = jax.random.normal(getkey(), (40, 3)), 5 * jax.random.normal(getkey(), (6, 3))
    key = getkey()
    cold = gumbel_mixture(jax.random.clone(key), x, c, temperature=1e-4)
    assert_allclose(cold, c[nearest(cold, c)], atol=1e-4)
    hot = gumbel_mixture(jax.random.clone(key), x, c, temperature=1e6)
    assert_allclose(hot, jnp.broadcast_to(c.mean(0), hot.shape), atol=1e-3)


def test_a_cold_mixture_draws_by_distance(getkey):
    c = jnp.array([[0.0], [1.0]])
    drawn = gumbel_mixture(getkey(), jnp.zeros((20_000, 1)), c, temperature=1e-4)
    assert_allclose(drawn.mean(), jax.nn.sigmoid(-1.0), atol=0.01)


def test_a_mixture_moves_input_and_all_codes(getkey):
    x, c, key = jax.random.normal(getkey(), (4, 3)), jax.random.normal(getkey(), (5, 3)), getkey()
    dx, dc = jax.grad(lambda x, c: gumbel_mixture(key, x, c).sum(), (0, 1))(x, c)
    assert (jnp.abs(dx).sum(1) > 0).all() and (jnp.abs(dc).sum(1) > 0).all()
