"""Spectral filters of feature rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.spectral import spectral_filter, spectrum


def _one(width):
    return jnp.tile(jnp.array([[1.0, 0.0]]), (width // 2 + 1, 1))


@pytest.mark.parametrize("width", [1, 7, 8])
def test_weight_one_leaves_the_rows(width, getkey):
    x = jax.random.normal(getkey(), (5, width))
    assert_allclose(spectral_filter([x], _one(width)), x, atol=1e-6)


@pytest.mark.parametrize("width", [7, 8])
def test_the_spectrum_keeps_the_squared_norm(width, getkey):
    x = jax.random.normal(getkey(), (5, width))
    power = jnp.abs(spectrum(x)) ** 2
    # All frequencies but 0, and d/2 of an even d, stand for their mirror image too.
    twice = np.full(width // 2 + 1, 2.0)
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    assert_allclose((power * twice[None, :]).sum(1), (x**2).sum(1), rtol=1e-5)


@pytest.mark.parametrize("width", [5, 6])
def test_two_spectra_multiply_to_a_circular_convolution(width, getkey):
    x, y = (jax.random.normal(getkey(), (3, width)) for _ in range(2))
    shifts = (np.arange(width)[:, None] - np.arange(width)[None, :]) % width
    expected = jnp.einsum("nk,ntk->nt", x, y[:, shifts]) / width**0.5
    assert_allclose(spectral_filter([x, y], _one(width)), expected, atol=1e-5)


def test_a_turn_of_the_phase_shifts_by_hand():
    x = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    # exp(-2 pi i f / 4) for f = 0, 1, 2 delays by one place.
    weight = jnp.array([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    assert_allclose(spectral_filter([x], weight), [[4.0, 1.0, 2.0, 3.0]], atol=1e-6)


def test_the_gradient_of_the_real_parameters(getkey):
    x, w = jax.random.normal(getkey(), (4, 6)), jax.random.normal(getkey(), (4, 2))
    check_grads(lambda w: spectral_filter([x], jnp.asarray(w)), (w,), order=1, modes=["rev"])
    gradient = jax.grad(lambda w: (spectral_filter([x], w) ** 2).sum())(w)
    assert gradient.dtype == jnp.float32
    assert (jnp.abs(gradient[1:3]) > 0).all()
    # The spectrum of real rows is real at its two ends: imaginary parts there do nothing.
    assert_allclose(gradient[jnp.array([0, 3]), 1], 0, atol=1e-6)


def test_no_array_is_refused():
    with pytest.raises(ValueError, match="at least one array"):
        spectral_filter([], _one(4))
