"""Row normalisation and random projection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.common.projection import l2_normalise, random_projection


def test_rows_get_length_one_and_zeros_stay():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [0.0, 1e-8]])
    np.testing.assert_allclose(l2_normalise(x), [[0.6, 0.8], [0, 0], [0, 1]], rtol=1e-6)


@pytest.mark.parametrize("length", [1e-37, 1e-20, 1.0, 1e20, 3e37])
def test_the_direction_does_not_depend_on_the_length(length):
    x = jnp.array([[3.0, -4.0, 0.0], [1.0, 2.0, 2.0]])
    scaled = x * jnp.float32(length)
    np.testing.assert_allclose(l2_normalise(scaled), l2_normalise(x), rtol=1e-6)
    if length > 1e30:
        return  # where the gradient itself is below float32's normal numbers
    g = jax.grad(lambda x: l2_normalise(x)[0, 0])(scaled) * jnp.float32(length)
    # d(x / |x|) = (1 - u u') / |x| with u = (0.6, -0.8, 0).
    np.testing.assert_allclose(g, [[0.128, 0.096, 0], [0, 0, 0]], rtol=1e-5, atol=1e-7)


def test_the_gradient_of_a_zero_row_is_finite():
    g = jax.grad(lambda x: l2_normalise(x).sum())(jnp.zeros((2, 3)))
    assert jnp.isfinite(g).all()


def test_half_precision_squares_in_float32():
    x = jnp.full((1, 4), 300.0, jnp.float16)
    y = l2_normalise(x)
    assert y.dtype == jnp.float16
    np.testing.assert_allclose(np.asarray(y, np.float32), 0.5, rtol=1e-3)


def test_projection_keeps_angles_and_is_reproducible(getkey):
    """Johnson-Lindenstrauss: inner products of unit vectors move by about width**-0.5."""
    x = jax.random.normal(getkey(), (30, 400))
    x = l2_normalise(x.at[1].set(x[0] + 0.3 * x[1]))
    key = getkey()
    y = random_projection(jax.random.clone(key), x, 2000)
    assert y.shape == (30, 2000)
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(y @ y.T, x @ x.T, atol=5 / 2000**0.5)
    np.testing.assert_array_equal(y, random_projection(key, x, 2000))


def test_the_matrix_is_standard_normal(getkey):
    """The projection of a unit row before normalising is R's row: recover it from two rows."""
    key = getkey()
    r = jax.random.normal(jax.random.clone(key), (2, 5))
    y = random_projection(key, jnp.eye(2), 5)
    np.testing.assert_allclose(y, r / np.linalg.norm(r, axis=1, keepdims=True), rtol=1e-5)


def test_width_must_be_positive(getkey):
    with pytest.raises(ValueError, match="width must be positive"):
        random_projection(getkey(), jnp.ones((2, 2)), 0)
