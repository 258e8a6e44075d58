"""T5's relative positions: the published buckets, and the square of biases against a lookup."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.attention.relative import bucket, distance_bias, pairwise_bias


def test_bidirectional_buckets():
    distance = np.array([-200, -20, -10, -8, -7, 0, 1, 8, 20, 200])
    want = [15, 10, 8, 8, 7, 0, 17, 24, 26, 31]
    assert_array_equal(bucket(distance), want)


def test_causal_buckets():
    distance = np.array([-15, -16, -17, -31, -128, 3])
    assert_array_equal(bucket(distance, bidirectional=False), [15, 16, 16, 21, 31, 0])


@settings(max_examples=20)
@given(st.sampled_from([8, 16, 32, 64]), st.integers(33, 1000), st.booleans())
def test_buckets_follow_the_formula(buckets, farthest, bidirectional):
    n = buckets // 2 if bidirectional else buckets
    half = n // 2
    distance = np.arange(-1100, 1101)
    a = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
    far = np.log(np.maximum(a, 1) / half) / np.log(farthest / half) * (n - half)
    want = np.where(a < half, a, np.minimum(n - 1, half + np.floor(far + 1e-9)))
    want += np.where((distance > 0) & bidirectional, n, 0)
    got = bucket(distance, buckets=buckets, max_distance=farthest, bidirectional=bidirectional)
    assert_array_equal(got, want)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 4), (7, 1), (9, 5), (4, 30)])
def test_the_square_equals_a_lookup(queries, keys, bidirectional):
    table = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    kind = {"max_distance": 20, "bidirectional": bidirectional}
    distance = np.arange(keys)[None] - np.arange(queries)[:, None]
    want = table[np.asarray(bucket(distance, buckets=8, **kind))]

    @jax.jit
    def both(table):
        square = pairwise_bias(table, queries, keys, **kind)
        return square, distance_bias(table, jnp.arange(keys) - (queries - 1), **kind)

    square, row = both(table)
    assert square.shape == (1, 3, queries, keys)
    assert_array_equal(square[0], want.transpose(2, 0, 1))
    assert_array_equal(row, want[-1])


def test_gradient_counts_the_pairs_of_a_bucket():
    table = jnp.zeros((8, 2))
    distance = np.arange(5)[None] - np.arange(6)[:, None]
    found = np.asarray(bucket(distance, buckets=8, max_distance=20))
    want = np.bincount(found.ravel(), minlength=8)
    step = jax.jit(jax.grad(lambda t: pairwise_bias(t, 6, 5, max_distance=20).sum()))
    assert_allclose(step(table), np.tile(want[:, None], (1, 2)))
    assert "scatter" not in str(step.lower(table).compile().as_text())


@pytest.mark.parametrize(("buckets", "farthest"), [(2, 128), (32, 8), (64, 16)])
def test_too_few_buckets_or_too_short_a_distance(buckets, farthest):
    with pytest.raises(ValueError, match="buckets a direction"):
        bucket(jnp.arange(3), buckets=buckets, max_distance=farthest)
