"""Gates, and how far gradients of environments lie apart."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.losses.invariance import gates, noisy_gates, spread


def test_gates_by_hand():
    mu = jnp.array([-2.0, -0.5, -0.25, 0.0, 0.5, 3.0])
    assert_allclose(gates(mu), [0.0, 0.0, 0.25, 0.5, 1.0, 1.0])
    # What is shut or wide open has no gradient any more.
    assert_array_equal(
        jax.grad(lambda m: gates(m).sum())(jnp.array([-2.0, -0.25, 0.1, 3.0])), [0.0, 1.0, 1.0, 0.0]
    )


def test_noise_has_its_standard_deviation_and_stays_inside(getkey):
    mu = jnp.zeros(20000)
    drawn = noisy_gates(getkey(), mu, sigma=0.01)
    assert_allclose(drawn.mean(), 0.5, atol=5 * 0.01 / 20000**0.5)
    assert_allclose(drawn.std(), 0.01, rtol=0.03)
    wide = noisy_gates(getkey(), mu, sigma=3.0)
    assert wide.min() == 0 and wide.max() == 1
    assert_array_equal(noisy_gates(getkey(), mu, sigma=0.0), gates(mu))


def test_the_spread_by_hand():
    """Gradients 1, 2, 6 have mean 3 and distances 2, 1, 3; a group that is not there has none."""
    gradients = jnp.array([[1.0, 5.0], [2.0, 5.0], [99.0, -99.0], [6.0, 5.0]])
    where = jnp.array([True, True, False, True])
    assert_allclose(spread(gradients, where), [4 + 1 + 9, 0.0])
    assert_allclose(spread(2 * gradients, where), [4 * 14, 0.0])
    assert_allclose(spread(gradients, jnp.zeros(4, bool)), [0.0, 0.0])


def test_a_common_gradient_does_not_matter(getkey):
    gradients = jax.random.normal(getkey(), (5, 3, 2))
    common = jax.random.normal(getkey(), (3, 2))
    where = jnp.ones(5, bool)
    expected = np.var(gradients, axis=0) * 5
    assert_allclose(spread(gradients, where), expected, rtol=1e-5)
    assert_allclose(spread(gradients + common[None], where), expected, rtol=1e-4, atol=1e-5)
