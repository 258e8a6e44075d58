"""Rankings without training."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.common import heuristics
from experiments.common.evaluation import ranker
from experiments.mig_gt.presets import preset
from mmjax.data.synthetic.interactions import communities
from mmjax.retriever import given_vectors


@pytest.fixture(scope="module")
def data():
    return communities()


def _scores(vectors):
    users, items = vectors
    return np.asarray(users) @ np.asarray(items).T


def _plain(data, x, k, shrink):
    """R times the similarities, of which each row keeps its k largest."""
    norm = np.linalg.norm(x, axis=1)
    similarity = x @ x.T / (np.outer(norm, norm) + shrink)
    weakest = -np.sort(-similarity, axis=1)[:, k - 1 : k]
    r = np.zeros((data.n_users, data.n_items))
    r[data.train[:, 0], data.train[:, 1]] = 1
    return r @ np.where(similarity >= weakest, similarity, 0)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("modalities", [(), ("text",)])
def test_content_neighbours_by_their_definition(data, modalities, normalise):
    parts = [data.features[n].astype(np.float64) for n in modalities or data.modalities]
    if normalise:
        parts = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in parts]
    found = heuristics.item_knn_content(data, modalities, k=7, shrink=3.0, normalise=normalise)
    expected = _plain(data, np.concatenate(parts, axis=1), 7, 3.0)
    assert_allclose(_scores(found), expected, rtol=1e-3, atol=1e-4)


def test_two_items_by_hand(data):
    features = np.zeros((data.n_items, 2), np.float32)
    features[0], features[1] = (3, 4), (4, 3)
    small = dataclasses.replace(
        data, features={"text": features}, train=np.array([[0, 0]], np.int32)
    )
    scores = _scores(heuristics.item_knn_content(small, k=2, shrink=10.0, normalise=False))
    assert_allclose(scores[0, :3], [25 / 35, 24 / 35, 0], rtol=1e-5)
    assert not scores[1:].any()


def test_content_of_the_community_beats_noise_and_popularity(data):
    run = preset("mig_gt", "communities", "paper")
    rank = ranker(run, data, "valid", given_vectors(data.n_items))
    text = rank(heuristics.item_knn_content(data, ("text",))).mean["recall@20"]
    noise = rank(heuristics.item_knn_content(data, ("noise",))).mean["recall@20"]
    popular = rank(heuristics.popularity(data)).mean["recall@20"]
    assert text > 1.3 * noise
    assert text > 1.3 * popular


def test_missing_features_are_refused(data):
    with pytest.raises(ValueError, match=r"\['noise', 'text'\], asked for \['audio'\]"):
        heuristics.item_knn_content(data, ("audio",))
    bare = dataclasses.replace(data, features={})
    with pytest.raises(ValueError, match="the data have"):
        heuristics.item_knn_content(bare)
