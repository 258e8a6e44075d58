"""Retrievers: exclusions, chunks, and programs that are shared."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.objective import Bound
from mmjax.retriever import Vectors, exclusion, given_vectors, retrieve


@given(seed=st.integers(0, 2**32 - 1), chunk=st.sampled_from([None, 1, 3]))
def test_retrieve_is_a_sort_without_what_is_excluded(seed, chunk):
    rng = np.random.default_rng(seed)
    users = rng.integers(-2, 3, (5, 3)).astype(np.float32)
    items = rng.integers(-2, 3, (7, 3)).astype(np.float32)
    queries = rng.permutation(5)[:4].astype(np.int32)
    pairs = np.argwhere(rng.random((4, 7)) < 0.4)
    retriever = given_vectors(7)
    if chunk:
        retriever = type(retriever)(retriever.index, retriever.retrieve, 7, chunk)
    found = retrieve(retriever, Vectors(users, items), queries, k=8, exclude=pairs)
    scores = users[queries] @ items.T
    scores[pairs[:, 0], pairs[:, 1]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")
    values = np.take_along_axis(scores, order, 1)
    np.testing.assert_array_equal(found.ids[:, :7], np.where(np.isfinite(values), order, -1))
    np.testing.assert_array_equal(found.scores[:, :7], values)
    assert (found.ids[:, 7] == -1).all()


def test_an_exclusion_is_pairs_and_a_table():
    left_out = exclusion(np.array([[2, 5], [0, 1], [2, 3]]))
    np.testing.assert_array_equal(left_out.pairs, [[0, 1], [2, 5], [2, 3]])
    np.testing.assert_array_equal(left_out.table(3), [[1, -1], [-1, -1], [5, 3]])
    np.testing.assert_array_equal(exclusion(np.zeros((0, 2), int)).table(2), [[-1], [-1]])


def test_pairs_beyond_the_queries_are_padding():
    left_out = exclusion(np.array([[0, 4], [3, 9]]))
    np.testing.assert_array_equal(left_out.table(2), [[4], [-1]])


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k = 0"):
        retrieve(given_vectors(1), Vectors(jnp.ones((1, 1)), jnp.ones((1, 1))), jnp.zeros(1), k=0)


def test_bound_functions_are_equal_by_what_they_are():
    assert Bound(max, 3) == Bound(max, 3) != Bound(max, 4)
    assert hash(Bound(max, 3)) == hash(Bound(max, 3))
    assert Bound(max, 3)(5) == 5
