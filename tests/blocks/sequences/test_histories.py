"""Histories: what is drawn is a part of what a user has, and as often as it should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mmjax.blocks.sequences.histories import counts, histories, shuffled, some_items

PAIRS = np.array([[2, 5], [0, 1], [0, 4], [2, 0], [2, 3], [0, 1]], np.int32)
SOME = jax.jit(some_items, static_argnames="length")
SHUFFLED = jax.jit(shuffled)


def test_by_user():
    known = histories(PAIRS, 4, 6)
    assert_array_equal(known.items, [1, 4, 0, 3, 5])
    assert_array_equal(counts(known, jnp.arange(4)), [2, 0, 3, 0])


def test_ids_out_of_range_are_refused():
    with pytest.raises(ValueError, match="row 0: user 2, item 5"):
        histories(PAIRS, 2, 6)


def test_around_the_end():
    known = histories(PAIRS, 4, 6)
    users, first, count = jnp.array([2, 2, 0, 1]), jnp.array([2, 0, 1, 5]), jnp.array([2, 9, 2, 1])
    got = SOME(known, users, first, count, length=4)
    assert_array_equal(got, [[5, 0, -1, -1], [0, 3, 5, -1], [4, 1, -1, -1], [-1] * 4])


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_shuffling_keeps_everyones_items(seed):
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, [[9, 30]], (80, 2)), axis=0)
    known = histories(pairs, 9, 30)
    mixed = SHUFFLED(jax.random.key(seed), known)
    for start, stop in zip(known.start[:-1], known.start[1:], strict=True):
        assert_array_equal(np.sort(mixed.items[start:stop]), known.items[start:stop])


def test_every_part_is_as_likely_as_any_other():
    """All 3-subsets of 5 items, from every first place."""
    known = histories(np.stack([np.zeros(5, np.int32), np.arange(5)], 1), 1, 5)

    def part(key, first):
        zero = jnp.zeros(1, jnp.int32)
        mixed = shuffled(key, known)
        return some_items(mixed, zero, first[None], zero + 3, length=3)[0]

    keys = jax.random.split(jax.random.key(0), 4000)
    got = np.sort(jax.jit(jax.vmap(part))(keys, jnp.arange(4000) % 5), axis=1)
    _, times = np.unique(got, axis=0, return_counts=True)
    assert len(times) == 10 and np.abs(times - 400).max() < 90
