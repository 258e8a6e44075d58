"""Exact search on the host."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.blocks.ranking.exact import ranked_ids


@given(st.integers(0, 2**31 - 1), st.integers(1, 9))
def test_against_sorting_whole_rows(seed, k):
    draw = np.random.default_rng(seed)
    queries, documents = draw.integers(-2, 3, (4, 3)), draw.integers(-2, 3, (9, 3))
    ids, scores = ranked_ids(queries.astype(float), documents.astype(float), k)
    for row, products in enumerate(queries @ documents.T):
        want = sorted(range(9), key=lambda n: (-products[n], n))[:k]
        assert ids[row].tolist() == want  # of equal ones the first comes first
        np.testing.assert_array_equal(scores[row], products[want])


def test_no_queries_and_bad_ones():
    documents = np.eye(3)
    assert ranked_ids(np.zeros((0, 3)), documents, 2)[0].shape == (0, 2)
    for k in (0, 4):
        with pytest.raises(ValueError, match=r"give 1\.\.3"):
            ranked_ids(documents, documents, k)
    with pytest.raises(ValueError, match="not finite"):
        ranked_ids(documents, documents * np.nan, 1)
