"""Pseudo queries: the nearest queries for candidates that have none of their own."""

import numpy as np
from numpy.testing import assert_array_equal

from mmjax.models.common.query_task import pseudo_queries

QUERIES = np.array([[1, 0], [0, 1], [0.8, 0.6], [-1, 0]], np.float32)
CANDIDATES = np.array([[1, 0], [2, 0.1], [0, 1], [0, -1]], np.float32)
OWN = np.array([0, 2, 0, 0])


def test_candidates_without_a_query_take_the_nearest():
    rows, candidate = pseudo_queries(QUERIES, CANDIDATES, OWN, k=2)
    assert_array_equal(candidate, [1, 1, 3, 3])
    assert_array_equal(rows, [0, 2, 0, 3])
    rows, candidate = pseudo_queries(QUERIES, CANDIDATES, OWN, k=9)
    assert len(rows) == 8 and set(rows[:4]) == {0, 1, 2, 3}


def test_nothing_is_added_where_nothing_lacks():
    for own, k in ((OWN, 0), (np.arange(4), 2)):
        rows, candidate = pseudo_queries(QUERIES, CANDIDATES, own, k=k)
        assert rows.shape == candidate.shape == (0,)
