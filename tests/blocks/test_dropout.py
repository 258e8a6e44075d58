"""Dropout: exact expectation, deterministic at rate 0, clear refusal of impossible rates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mmjax.blocks.dropout import dropout, keep_levels


def test_rate_zero_is_the_identity(getkey):
    x = jnp.arange(6.0).reshape(2, 3)
    assert dropout(getkey(), x, 0.0) is x


@given(st.floats(0.0, 0.99))
def test_survivors_are_scaled_by_the_rounded_keep_probability(rate):
    levels = keep_levels(rate)
    assert abs(levels / 65536 - (1 - rate)) <= 0.5 / 65536 + 1e-12
    x = jnp.full(200, 2.0)
    values = np.unique(np.asarray(dropout(jax.random.key(0), x, rate)))
    allowed = np.array([0.0, 2.0 * 65536 / levels], np.float32)
    assert np.isclose(values[:, None], allowed[None]).any(1).all()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_expectation(rate):
    y = dropout(jax.random.key(1), jnp.ones(400_000), rate)
    sigma = (rate / (1 - rate) / y.size) ** 0.5
    assert_allclose(y.mean(), 1.0, atol=5 * sigma)
    assert_allclose((y == 0).mean(), rate, atol=5 * (rate * (1 - rate) / y.size) ** 0.5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_keeps_the_dtype(dtype):
    assert dropout(jax.random.key(0), jnp.ones(8, dtype), 0.3).dtype == dtype


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate must lie in"):
        keep_levels(rate)
