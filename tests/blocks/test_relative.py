"""T5's relative positions: the published buckets, and the square of biases against a lookup."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.relative import bucket, distance_bias, pairwise_bias


def test_bidirectional_buckets():
    distance = np.array([-200, -20, -10, -8, -7, 0, 1, 8, 20, 200])
    want = [15, 10, 8, 8, 7, 0, 17, 24, 26, 31]
    assert_array_equal(bucket(distance), want)


def test_causal_buckets():
    distance = np.array([-15, -16, -17, -31, -128, 3])
    assert_array_equal(bucket(distance, bidirectional=False), [15, 16, 16, 21, 31, 0])


@given(st.sampled_from([8, 16, 32, 64]), st.sampled_from([40, 100, 128, 1000]), st.booleans())
def test_buckets_follow_the_formula(buckets, farthest, bidirectional):
    n = buckets // 2 if bidirectional else buckets
    for r in (-2 * farthest, -farthest, -farthest + 1, -n, -n // 2, -3, -1, 0, 1, 5, farthest):
        a = abs(r) if bidirectional else max(-r, 0)
        want = n if bidirectional and r > 0 else 0
        if a < n // 2:
            want += a
        else:
            far = np.log(a / (n // 2)) / np.log(farthest / (n // 2)) * (n - n // 2)
            want += min(n - 1, n // 2 + int(far + 1e-9))
        got = bucket(
            np.array(r), buckets=buckets, max_distance=farthest, bidirectional=bidirectional
        )
        assert int(got) == want, r


@given(st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_the_square_equals_a_lookup(queries, keys, bidirectional):
    table = jax.random.normal(jax.random.key(0), (8, 3))
    kind = {"max_distance": 20, "bidirectional": bidirectional}
    distance = np.arange(keys)[None] - np.arange(queries)[:, None]
    want = np.asarray(table)[bucket(distance, buckets=8, **kind)]
    got = pairwise_bias(table, queries, keys, **kind)
    assert got.shape == (1, 3, queries, keys)
    assert_array_equal(got[0], want.transpose(2, 0, 1))
    row = distance_bias(table, jnp.arange(keys) - (queries - 1), **kind)
    assert_array_equal(row, want[-1])


def test_gradient_counts_the_pairs_of_a_bucket():
    table = jnp.zeros((8, 2))
    distance = np.arange(5)[None] - np.arange(6)[:, None]
    found = np.asarray(bucket(distance, buckets=8, max_distance=20))
    want = np.bincount(found.ravel(), minlength=8)
    step = jax.jit(jax.grad(lambda t: pairwise_bias(t, 6, 5, max_distance=20).sum()))
    assert_allclose(step(table), np.tile(want[:, None], (1, 2)))
    assert "scatter" not in step.lower(table).compile().as_text()


@pytest.mark.parametrize(("buckets", "farthest"), [(2, 128), (32, 8), (64, 16)])
def test_too_few_buckets_or_too_short_a_distance(buckets, farthest):
    with pytest.raises(ValueError, match="buckets a direction"):
        bucket(jnp.arange(3), buckets=buckets, max_distance=farthest)
