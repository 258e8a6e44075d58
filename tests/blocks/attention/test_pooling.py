"""Means under masks."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.attention.pooling import masked_mean


def test_masking_is_deletion_and_nothing_gives_zeros():
    x = jnp.array([[[1.0, 2.0], [jnp.inf, jnp.nan], [5.0, 0.0]], [[7.0, 7.0]] * 3])
    where = jnp.array([[1, 0, 1], [0, 0, 0]])
    assert_array_equal(masked_mean(x, where), [[3.0, 1.0], [0.0, 0.0]])
    assert_array_equal(masked_mean(x, where.astype(bool)), [[3.0, 1.0], [0.0, 0.0]])
    assert_array_equal(masked_mean(x[0], where[0]), [3.0, 1.0])


def test_gradient_is_one_over_the_number():
    where = jnp.array([[True, False, True, True]])
    grad = jax.grad(lambda x: masked_mean(x, where).sum())(jnp.full((1, 4, 1), 2.0))
    assert_allclose(grad[0, :, 0], [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)


def test_half_precision_sums_in_float32():
    x = jnp.ones((1, 1000, 1), jnp.bfloat16)
    mean = masked_mean(x, jnp.ones((1, 1000), bool))
    assert mean.dtype == jnp.bfloat16
    assert float(np.asarray(mean).item()) == 1.0
