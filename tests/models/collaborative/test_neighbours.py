"""Rankings without training."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mmjax
from mmjax.data.synthetic.interactions import communities
from mmjax.models.collaborative import neighbours
from mmjax.retriever import given_vectors


@pytest.fixture(scope="module")
def data():
    return communities()


@pytest.fixture(scope="module")
def task(data):
    return mmjax.task(data)


def _scores(vectors):
    users, items = vectors
    return np.asarray(users) @ np.asarray(items).T


def _incidence(task):
    r = np.zeros((task.n_users, task.n_items))
    r[task.train[:, 0], task.train[:, 1]] = 1
    return r


def _by_content(task, x, k, shrink):
    """R times the similarities, of which each row keeps its k largest."""
    norm = np.linalg.norm(x, axis=1)
    similarity = x @ x.T / (np.outer(norm, norm) + shrink)
    weakest = -np.sort(-similarity, axis=1)[:, k - 1 : k]
    return _incidence(task) @ np.where(similarity >= weakest, similarity, 0)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("modalities", [(), ("text",)])
def test_content_neighbours_by_their_definition(task, modalities, normalise):
    names = modalities or tuple(task.features)
    parts = [np.asarray(task.features[n], np.float64) for n in names]
    if normalise:
        parts = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in parts]
    found = neighbours.item_knn_content(task, modalities, k=7, shrink=3.0, normalise=normalise)
    expected = _by_content(task, np.concatenate(parts, axis=1), 7, 3.0)
    assert_allclose(_scores(found), expected, rtol=1e-3, atol=1e-4)


def test_neighbours_by_their_definition(task):
    r = _incidence(task)
    common = r.T @ r
    count = np.diag(common).copy()
    np.fill_diagonal(common, 0)
    similarity = common / (np.sqrt(np.outer(count, count)) + 2.0)
    weakest = -np.sort(-similarity, axis=1)[:, 4:5]
    expected = r @ np.where(similarity >= weakest, similarity, 0).T
    found = _scores(neighbours.item_knn(task, k=5, shrink=2.0))
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_popularity_is_the_number_of_users(task):
    scores = _scores(neighbours.popularity(task))
    assert_allclose(scores, np.broadcast_to(_incidence(task).sum(0), scores.shape))


def test_two_items_by_hand(task):
    features = np.zeros((task.n_items, 2), np.float32)
    features[0], features[1] = (3, 4), (4, 3)
    train = np.array([[0, 0]], np.int32)
    small = dataclasses.replace(task, features={"text": features}, train=train)
    scores = _scores(neighbours.item_knn_content(small, k=2, shrink=10.0, normalise=False))
    assert_allclose(scores[0, :3], [25 / 35, 24 / 35, 0], rtol=1e-5)
    assert not scores[1:].any()


def test_content_of_the_community_beats_noise_and_popularity(data, task):
    evaluate, retriever = mmjax.evaluator(data, "valid"), given_vectors(data.n_items)

    def recall(vectors):
        return evaluate(retriever, vectors)["recall@20"]

    text = recall(neighbours.item_knn_content(task, ("text",)))
    assert text > 1.3 * recall(neighbours.item_knn_content(task, ("noise",)))
    assert text > 1.3 * recall(neighbours.popularity(task))


def test_missing_features_are_refused(task):
    with pytest.raises(ValueError, match=r"\['noise', 'text'\], asked for \['audio'\]"):
        neighbours.item_knn_content(task, ("audio",))
    bare = dataclasses.replace(task, features={})
    with pytest.raises(ValueError, match="the data have"):
        neighbours.item_knn_content(bare)


def test_which_ones_the_data_allow(task, monkeypatch):
    assert [*neighbours.applicable(task)] == ["popularity", "item_knn", "item_knn_content"]
    bare = dataclasses.replace(task, features={})
    assert [*neighbours.applicable(bare)] == ["popularity", "item_knn"]
    monkeypatch.setattr(neighbours, "MAX_ENTRIES", 1)
    assert [*neighbours.applicable(task)] == ["popularity"]
