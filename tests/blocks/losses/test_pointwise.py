"""UltraGCN's weighted cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from mmjax.blocks.losses.pointwise import degree_factors, weighted_bce


def test_degree_factors_by_hand():
    """User 0 has three pairs, user 1 none; items have two, one and no pairs."""
    users, items = degree_factors(np.array([[0, 0], [0, 1], [2, 0], [0, 2]]), 3, 4)
    assert_allclose(users, [2 / 3, 2**0.5, 2**0.5], rtol=1e-6)
    assert_allclose(items, [3**-0.5, 2**-0.5, 2**-0.5, 1.0], rtol=1e-6)
    assert users.dtype == items.dtype == np.float32


def test_scores_of_zero_cost_two_logarithms_of_two(getkey):
    ones = jnp.ones((2, 6))
    assert_allclose(weighted_bce(0 * ones, ones), [2 * np.log(2)] * 2, rtol=1e-6)
    assert_allclose(weighted_bce(jnp.zeros((2, 1)), jnp.ones((2, 1))), [np.log(2)] * 2, rtol=1e-6)


def test_the_value_by_hand():
    scores, weights = jnp.array([[1.0, 2.0, -1.0]]), jnp.array([[2.0, 3.0, 5.0]])
    log1p = lambda x: np.log1p(np.exp(x))  # noqa: E731
    expected = 2 * log1p(-1.0) + (3 * log1p(2.0) + 5 * log1p(-1.0)) / 2
    assert_allclose(weighted_bce(scores, weights), [expected], rtol=1e-6)


def test_huge_scores_have_finite_gradients():
    scores = jnp.array([[-1e4, 1e4]])
    grads = jax.grad(lambda s: weighted_bce(s, jnp.ones((1, 2))).sum())(scores)
    assert_allclose(grads, [[-1.0, 1.0]])
