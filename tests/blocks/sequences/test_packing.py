"""Sequences packed in rows: nothing is lost, nothing is twice, and the mask keeps them apart."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal

from mmjax.blocks.sequences.packing import Packed, own_past, pack, packed, side_by_side, tokens

lengths = st.lists(st.integers(0, 6), min_size=1, max_size=20)


@given(lengths, st.integers(6, 9))
def test_every_sequence_has_places_of_its_own(found, width):
    row, column = pack(np.array(found), width)
    assert_array_equal(row >= 0, np.array(found) > 0)
    taken = np.zeros((max(row) + 1, width), int)
    for r, c, n in zip(row, column, found, strict=True):
        if n:
            taken[r, c : c + n] += 1
            assert c + n <= width
    assert (taken <= 1).all()
    assert (taken[:, 0] == 1).all(), "no row is empty"
    full = taken.sum(1)
    assert (full[:-1] + full[1:] > width).all() or len(full) < 2


def test_by_hand():
    row, column = pack(np.array([2, 5, 3, 0, 1]), 5)
    assert row.tolist() == [1, 0, 1, -1, 2] and column.tolist() == [3, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="lengths from 2 to 6 do not fit rows of 5"):
        pack(np.array([2, 6]), 5)


# Every shape is compiled, so a few examples have to do.
@settings(max_examples=12)
@given(st.lists(st.lists(st.integers(0, 9), max_size=7), min_size=6, max_size=6), st.integers(3, 5))
def test_tokens_are_the_items_in_order(found, width):
    flat = np.array([*sum(found, []), 0], np.int32)
    if len(flat) == 1:
        return
    stop = np.cumsum([len(x) for x in found])
    start = stop - [len(x) for x in found]
    rows = packed(flat, start, stop, width)
    got = jax.tree.map(np.asarray, tokens(rows, jnp.arange(len(rows.window))))
    assert got.item.shape[1] == width
    for n, items in enumerate(found):
        here = got.window == n
        kept = items[-width:]
        assert len({r for r, _ in np.argwhere(here).tolist()}) <= 1
        assert got.item[here].tolist() == kept
        assert got.age[here].tolist() == list(range(len(kept)))[::-1]
        after = flat[start[n] : stop[n] + 1][1:].tolist()
        assert got.following[here].tolist() == after[-width:]
    assert ((got.window == -1) == (np.asarray(rows.window) == -1)).all()
    assert (got.age[got.window == -1] == 0).all()


def test_a_place_sees_its_own_past():
    window = jnp.array([[4, 4, 7, -1]])
    assert_array_equal(
        own_past(window)[0, 0],
        np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool),
    )


def test_rows_of_one_sequence_each():
    where = jnp.array([[False, True, True], [True, True, False]])
    rows = side_by_side(jnp.array([[9, 1, 2], [3, 4, 9]]), where)
    assert rows.window.tolist() == [[-1, 0, 0], [1, 1, -1]]
    assert rows.age.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("start", "stop", "width", "says"),
    [
        ([0], [0], 3, "nothing to pack"),
        ([0], [2], 0, "rows of 0; nothing"),
        ([0], [9], 3, "must lie in the 4 items"),
        ([-1], [2], 3, "must lie in the 4 items"),
        ([0, 3], [2, 1], 3, "be backwards"),
    ],
)
def test_windows_that_cannot_be(start, stop, width, says):
    with pytest.raises(ValueError, match=says):
        packed(np.arange(4), np.array(start), np.array(stop), width)


def test_long_windows_keep_their_latest_items():
    rows = packed(np.arange(10), np.array([0]), np.array([8]), 3)
    assert isinstance(rows, Packed)
    got = tokens(rows, jnp.array([0]))
    assert got.item.tolist() == [[5, 6, 7]] and got.following.tolist() == [[6, 7, 8]]
