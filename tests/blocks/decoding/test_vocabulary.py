"""Tokens of codes: rows and columns of a vocabulary for each level, and of a shared one."""

import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mmjax.blocks.decoding.vocabulary import Vocabulary

CODES = jnp.array([[2, 0, 4], [0, 1, 0]])


def test_by_hand_with_a_vocabulary_for_each_level():
    v = Vocabulary((3, 2, 5))
    assert (v.start, v.rows, v.columns, v.steps, v.special) == (10, 11, 10, 3, ())
    assert [v.span(n) for n in range(3)] == [(0, 3), (3, 5), (5, 10)]
    assert_array_equal(v.inputs(CODES), [[10, 2, 3], [10, 0, 4]])
    assert_array_equal(v.targets(CODES), CODES)
    assert v.trie_sizes == (3, 2, 5)


def test_by_hand_with_a_shared_one():
    """Padding 0, codes 1 to 5, start 6, end 7: as in the released code of MMGRec."""
    v = Vocabulary((3, 2, 5), shared=True)
    assert (v.start, v.rows, v.columns, v.steps, v.special) == (6, 8, 8, 4, (0, 6, 7))
    assert {v.span(n) for n in range(4)} == {(0, 8)}
    assert_array_equal(v.inputs(CODES), [[6, 3, 1, 5], [6, 1, 2, 1]])
    assert_array_equal(v.targets(CODES), [[3, 1, 5, 7], [1, 2, 1, 7]])
    assert v.trie_sizes == (6, 6, 6)


@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=6)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_what_goes_in_is_what_came_out(sizes, shared):
    v = Vocabulary(tuple(sizes), shared)
    codes = jnp.array([[0] * len(sizes), [k - 1 for k in sizes]])
    targets, inputs = v.targets(codes), v.inputs(codes)
    assert inputs.shape == targets.shape == (2, v.steps)
    assert (inputs[:, 0] == v.start).all() and int(inputs.max()) < v.rows
    for n in range(v.steps):
        first, last = v.span(n)
        assert int(targets[:, n].max()) < last - first <= v.columns
        if n + 1 < v.steps:
            assert_array_equal(v.token_of(targets[:, n], n), inputs[:, n + 1])
    columns = v.trie_codes(codes)
    assert_array_equal(columns, targets[:, : len(sizes)])
    assert all(int(columns[:, n].max()) < v.trie_sizes[n] for n in range(len(sizes)))
