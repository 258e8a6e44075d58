"""Batches of targets and shown items: every pair once, no target shown, draws that are new."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mmjax.training.sources.subsets import subset_source

RNG = np.random.default_rng(0)
# User 3 has one pair, user 5 none, user 0 has 23.
PAIRS = np.unique(
    np.concatenate(
        [
            np.stack([np.zeros(23, int), np.arange(23)], 1),
            np.stack([RNG.choice([1, 2, 4], 30), RNG.integers(0, 40, 30)], 1),
            [[3, 39]],
        ]
    ),
    axis=0,
)


@jax.jit
def _batches(source, key):
    plan, unused = source.epoch(key), jax.random.key(0)
    steps = jnp.arange(source.steps_per_epoch)
    return jax.lax.map(lambda i: source.batch(plan, i, unused), steps)


def _epoch(source, seed=0):
    rows = _batches(source, jax.random.key(seed))
    rows = {k: np.asarray(x).reshape(-1, *x.shape[2:]) for k, x in rows.items()}
    return {k: x[rows["where"]] for k, x in rows.items()}


@functools.cache
def _source(**options):
    return subset_source(PAIRS, 6, 40, 7, **{"length": 5, **options})


@settings(max_examples=8)
@given(st.sampled_from([(1, True), (4, False)]), st.integers(0, 99))
def test_every_pair_is_a_target_once(how, seed):
    rows = _epoch(_source(targets=how[0], exclude_targets=how[1]), seed)
    user = np.broadcast_to(rows["user"][:, None], rows["items"].shape)
    met = np.stack([user, rows["items"]], 2)[rows["items"] >= 0]
    assert_array_equal(met[np.lexsort(met.T[::-1])], PAIRS)


def test_what_is_shown_are_other_items_of_the_user():
    rows = _epoch(_source(targets=4))
    everything = {u: set(PAIRS[PAIRS[:, 0] == u, 1]) for u in range(6)}
    for user, items, history in zip(rows["user"], rows["items"], rows["history"], strict=True):
        items, shown = set(items[items >= 0]), history[history >= 0]
        others = everything[int(user)] - items
        assert len(set(shown)) == len(shown) == min(5, len(others))
        assert set(shown) <= others
        assert len(items) <= max(1, len(everything[int(user)]) // 4)


def test_a_single_item_is_a_target_without_a_history():
    rows = _epoch(_source())
    (row,) = np.flatnonzero(rows["user"] == 3)
    assert_array_equal(rows["items"][row], [39])
    assert_array_equal(rows["history"][row], [-1] * 5)


def test_with_its_targets_all_rows_of_a_user_show_the_same():
    rows = _epoch(_source(exclude_targets=False, length=24))
    shown = rows["history"][rows["user"] == 0]
    assert (shown == shown[0]).all()
    assert set(shown[0]) == {*range(23), -1}
    assert_array_equal(rows["history"][rows["user"] == 3][0][:2], [39, -1])


@pytest.mark.parametrize("redraw", [True, False])
def test_drawn_anew_or_once(redraw):
    source = _source(exclude_targets=False, redraw=redraw)
    one, two = (_epoch(source, seed) for seed in (1, 2))
    shown = [set(rows["history"][rows["user"] == 0][0]) for rows in (one, two)]
    assert (shown[0] != shown[1]) == redraw


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="length 0"):
        _source(length=0)
    with pytest.raises(ValueError, match="0 pairs"):
        subset_source(PAIRS[:0], 6, 40, 7)
