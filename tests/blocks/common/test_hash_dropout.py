"""Dropout: exact expectation, independent draws, clear refusal of impossible rates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.common.hash_dropout import dropout, keep


def pcg3d(x, y, z):
    """As published (Jarzynski & Olano 2020, listing of pcg3d), in Python's integers."""
    wrap = 2**32
    v = [(n * 1664525 + 1013904223) % wrap for n in (x, y, z)]
    for last in (False, True):
        v[0] = (v[0] + v[1] * v[2]) % wrap
        v[1] = (v[1] + v[2] * v[0]) % wrap
        v[2] = (v[2] + v[0] * v[1]) % wrap
        if not last:
            v = [n ^ (n >> 16) for n in v]
    return v


def test_rate_zero_is_the_identity(getkey):
    x = jnp.arange(6.0).reshape(2, 3)
    assert dropout(getkey(), x, 0.0) is x
    assert keep(getkey(), (50,), 0.0).all()


@given(st.floats(0.0, 0.99), st.integers(0, 2**31 - 1))
def test_draws_are_the_published_hash(rate, seed):
    key = jax.random.key(seed)
    words = [int(n) for n in jax.random.key_data(key)]
    expected = [pcg3d(n, *words)[2] < round((1 - rate) * 2**32) for n in range(6)]
    assert_array_equal(keep(key, (2, 3), rate).ravel(), expected)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_expectation(rate):
    y = dropout(jax.random.key(1), jnp.ones(400_000), rate)
    sigma = (rate / (1 - rate) / y.size) ** 0.5
    assert_allclose(y.mean(), 1.0, atol=5 * sigma)
    assert_allclose((y == 0).mean(), rate, atol=5 * (rate * (1 - rate) / y.size) ** 0.5)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / (1 - rate))}


def test_draws_of_places_and_keys_are_independent():
    keys = [*jax.random.split(jax.random.key(2), 3), *(jax.random.key(n) for n in range(4))]
    drawn = np.stack([np.asarray(keep(key, (256, 1024), 0.5)) for key in keys]) * 2.0 - 1
    bound = 5 / drawn[0].size ** 0.5
    for one in range(len(keys)):
        for other in range(one):
            assert abs((drawn[one] * drawn[other]).mean()) < bound
    for lag in (1, 2, 3, 7, 64):
        assert abs((drawn[:, :, lag:] * drawn[:, :, :-lag]).mean((1, 2))).max() < 1.1 * bound
        assert abs((drawn[:, lag:] * drawn[:, :-lag]).mean((1, 2))).max() < 1.2 * bound
    # Rows and columns of a mask are as even as those of a fair coin.
    assert abs(drawn.mean(2)).max() < 5.5 / 1024**0.5
    assert abs(drawn.mean(1)).max() < 5.5 / 256**0.5


def test_mapped_keys_give_the_masks_of_each():
    keys = jax.random.split(jax.random.key(3), 4)
    together = jax.jit(jax.vmap(lambda key: keep(key, (5, 3), 0.4)))(keys)
    assert_array_equal(together, jnp.stack([keep(key, (5, 3), 0.4) for key in keys]))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_keeps_the_dtype(dtype):
    assert dropout(jax.random.key(0), jnp.ones(8, dtype), 0.3).dtype == dtype


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate must lie in"):
        keep(jax.random.key(0), (3,), rate)
    with pytest.raises(ValueError, match="rate must lie in"):
        dropout(jax.random.key(0), jnp.ones(3), rate)
