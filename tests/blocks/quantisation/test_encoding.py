"""Codes without gradients: greedy, by beam, and back."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation.encoding import beam_encode, decode, encode

BEAM = jax.jit(beam_encode, static_argnames="width")
ENCODE, DECODE = jax.jit(encode), jax.jit(decode)


def problem(seed, rows=5, sizes=(4, 3, 2), width=3):
    keys = jax.random.split(jax.random.key(seed), len(sizes) + 1)
    books = [
        0.7**m * jax.random.normal(k, (s, width))
        for m, (k, s) in enumerate(zip(keys, sizes, strict=False))
    ]
    return jax.random.normal(keys[-1], (rows, width)), books


def test_codes_come_back_from_separated_orthogonal_codebooks():
    # Level m moves along axes of its own, each a tenth as long as the one before.
    eye = jnp.eye(9)
    books = [10.0 ** (2 - m) * eye[3 * m : 3 * m + 3] for m in range(3)]
    codes = jnp.array(list(itertools.product(range(3), repeat=3)))
    assert_array_equal(ENCODE(DECODE(codes, books), books), codes)


def test_a_missing_code_adds_nothing():
    _, books = problem(0)
    got = decode(jnp.array([[1, -1, 0], [-1, -1, -1]]), books)
    assert_allclose(got, jnp.stack([books[0][1] + books[2][0], jnp.zeros(3)]), atol=1e-6)
    assert_array_equal(decode(jnp.array([[2]]), books), books[0][2:3])


def test_normalised_residuals():
    x, books = problem(1)
    z, found = x, jax.jit(partial(encode, normalise=True))(x, books)
    for m, book in enumerate(books):
        z = l2_normalise(z)
        code = jnp.square(z[:, None] - book[None]).sum(-1).argmin(1)
        assert_array_equal(found[:, m], code)
        z = z - book[code]


@settings(max_examples=20)
@given(st.integers(0, 2**20))
def test_a_beam_of_one_is_greedy_and_a_full_one_exhaustive(seed):
    x, books = problem(seed)
    greedy, errors = BEAM(x, books, width=1)
    assert_array_equal(greedy[:, 0], ENCODE(x, books))
    rest = x - DECODE(greedy[:, 0], books)
    assert_allclose(errors[:, 0], jnp.square(rest).sum(1), atol=1e-4)
    every = jnp.array(list(itertools.product(*(range(len(b)) for b in books))))
    distances = np.square(np.asarray(x)[:, None] - np.asarray(DECODE(every, books))).sum(-1)
    codes, errors = BEAM(x, books, width=100)
    assert codes.shape == (5, 24, 3)
    assert_allclose(errors, np.sort(distances, 1), atol=1e-4)
    assert_array_equal(codes[:, 0], every[distances.argmin(1)])
    assert (errors[:, 0] <= BEAM(x, books, width=3)[1][:, 0] + 1e-4).all()


def test_beams_are_distinct_and_best_first():
    x, books = problem(3)
    codes, errors = BEAM(x, books, width=6)
    assert codes.shape == (5, 6, 3) and codes.dtype == jnp.int32
    assert (jnp.diff(errors, axis=1) >= 0).all()
    assert all(len(np.unique(row, axis=0)) == 6 for row in codes)


def test_bad_sizes():
    x, books = problem(0)
    with pytest.raises(ValueError, match="width = 0"):
        beam_encode(x, books, width=0)
    with pytest.raises(ValueError, match="4 levels, but 3 codebooks"):
        decode(jnp.zeros((2, 4), jnp.int32), books)
    with pytest.raises(ValueError, match="0 codebooks"):
        encode(x, [])
