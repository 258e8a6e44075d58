"""Metrics of graded judgements against numbers worked by hand."""

import math

import numpy as np
import pytest

from mmjax.blocks.ranking.exact import ranked_ids
from mmjax.data.core.retrieval import judgements_of
from mmjax.evaluation.graded import graded_metrics, mean_graded

# Query 0: documents 4 (grade 2), 1 (grade 1), 3 (judged 0); query 1: none relevant; query 2: 0.
JUDGED = judgements_of(
    np.array([0, 2, 0, 1, 0]),
    np.array([4, 0, 1, 2, 3]),
    np.array([2, 1, 1, 0, 0]),
    n_queries=3,
    n_documents=5,
)
IDS = np.array([[3, 1, 4], [2, 0, 1], [1, 2, 3]])


def test_every_metric_by_hand():
    found = graded_metrics(IDS, JUDGED, (2, 3))
    second, third = 1 / math.log2(3), 1 / 2
    assert found["recall@2"].tolist() == [0.5, 0]
    assert found["recall@3"].tolist() == [1, 0]
    assert found["hits@2"].tolist() == [1, 0]
    assert found["mrr@3"].tolist() == [0.5, 0]
    np.testing.assert_allclose(found["map@3"], [(1 / 2 + 2 / 3) / 2, 0])
    np.testing.assert_allclose(found["ndcg@3"], [(second + 3 * third) / (3 + second), 0])
    linear = graded_metrics(IDS, JUDGED, (3,), gain="linear")
    np.testing.assert_allclose(linear["ndcg@3"], [(second + 2 * third) / (2 + second), 0])
    assert mean_graded(found)["recall@3"] == 0.5


def test_an_ideal_result_is_one_and_a_miss_is_nothing():
    ids = np.array([[4, 1], [-1, -1], [0, -1]])
    assert set(mean_graded(graded_metrics(ids, JUDGED, (2,))).values()) == {1.0}


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match="cut-offs"):
        graded_metrics(IDS, JUDGED, (4,))
    with pytest.raises(ValueError, match="document twice"):
        graded_metrics(np.array([[4, 4], [0, 1], [0, 1]]), JUDGED, (2,))


def test_search_by_inner_products():
    documents = np.array([[1.0, 0], [0, 1], [1, 1]])
    ids, values = ranked_ids(np.array([[2.0, 1], [0, 1]]), documents, 2)
    assert ids.tolist() == [[2, 0], [1, 2]] and values.tolist() == [[3, 2], [1, 1]]
    with pytest.raises(ValueError, match="not finite"):
        ranked_ids(np.array([[np.nan, 1]]), documents, 1)
