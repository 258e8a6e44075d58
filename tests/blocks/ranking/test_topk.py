"""Block selection equals a stable descending sort, ties included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.blocks.ranking.topk import top_k

_top_k = jax.jit(top_k, static_argnums=1)


def by_sorting(scores, k):
    order = np.argsort(-scores, axis=1, kind="stable")
    values = np.take_along_axis(scores, order, 1)
    more = ((0, 0), (0, max(0, k - scores.shape[1])))
    order = np.pad(np.where(values > -np.inf, order, -1), more, constant_values=-1)
    return np.pad(values, more, constant_values=-np.inf)[:, :k], order[:, :k]


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(1, 1, 1), (3, 40, 50), (3, 333, 2), (2, 1000, 7), (2, 5000, 3)]),
    levels=st.integers(1, 200),
    missing=st.floats(0, 1),
)
def test_equals_a_stable_sort(seed, shape, levels, missing):
    rows, n, k = shape
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels, (rows, n)).astype(np.float32)
    scores[rng.random((rows, n)) < missing] = -np.inf
    scores[(rng.random((rows, n)) < 0.5) & (scores == 0)] = -0.0
    values, index = _top_k(jnp.asarray(scores), k)
    expected_values, expected_index = by_sorting(scores, k)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(values, expected_values)


def test_every_score_equal_gives_the_first_positions():
    values, index = _top_k(jnp.full((2, 3000), 1.5), 20)
    np.testing.assert_array_equal(index, np.broadcast_to(np.arange(20), (2, 20)))
    np.testing.assert_array_equal(values, np.full((2, 20), 1.5))


def test_the_largest_scores_of_one_block_all_survive():
    scores = np.zeros((1, 4000), np.float32)
    scores[0, 160:176] = np.arange(16) + 1
    index = _top_k(jnp.asarray(scores), 18)[1]
    np.testing.assert_array_equal(index, [[*range(175, 159, -1), 0, 1]])


def test_works_under_vmap(getkey):
    scores = jax.random.normal(getkey(), (3, 4, 2000))
    values, index = jax.vmap(lambda x: top_k(x, 5))(scores)
    for batch, v, i in zip(np.asarray(scores), values, index, strict=True):
        expected = by_sorting(batch, 5)
        np.testing.assert_array_equal(v, expected[0])
        np.testing.assert_array_equal(i, expected[1])


@pytest.mark.parametrize("n", [479, 480, 481, 495])
def test_the_last_block_may_be_ragged(n):
    scores = np.zeros((1, n), np.float32)
    scores[0, -17:] = np.arange(17) // 2
    values, index = _top_k(jnp.asarray(scores), 14)
    expected = by_sorting(scores, 14)
    np.testing.assert_array_equal(index, expected[1])
    np.testing.assert_array_equal(values, expected[0])


@pytest.mark.parametrize("k", [0, -1])
def test_bad_k_is_refused(k):
    with pytest.raises(ValueError, match="must be 1 or more"):
        top_k(jnp.zeros((2, 10)), k)
