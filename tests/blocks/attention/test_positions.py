"""Sinusoidal positions."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.attention.positions import sinusoidal


def test_by_hand():
    angle = [[0.0, 0.0], [1.0, 0.01], [2.0, 0.02]]
    want = [[np.sin(a), np.cos(a), np.sin(b), np.cos(b)] for a, b in angle]
    assert_allclose(sinusoidal(3, 4), want, atol=1e-6)


def test_products_depend_on_the_distance_alone():
    p = sinusoidal(40, 16)
    gram = jnp.dot(p, p.T, precision="highest")
    for distance in (0, 1, 7):
        diagonal = np.diagonal(gram, distance)
        assert_allclose(diagonal, diagonal[0], atol=1e-4)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width 3 is odd"):
        sinusoidal(2, 3)
