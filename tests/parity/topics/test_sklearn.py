"""Topics by HDBSCAN: the clusters that were made are found, and noise stays outside."""

import numpy as np
import pytest

from mmjax.blocks.quantisation.topics import hdbscan_topics

pytest.importorskip("sklearn")
pytestmark = pytest.mark.parity


def _clusters(seed, n=40, topics=4, width=16):
    draw = np.random.default_rng(seed)
    centres = np.eye(topics, width) * 4
    topic = np.repeat(np.arange(topics), n)
    return (centres[topic] + draw.normal(size=(len(topic), width)) * 0.3).astype(np.float32), topic


@pytest.mark.parametrize("seed", [0, 1])
def test_clusters_are_found(seed):
    x, topic = _clusters(seed)
    found = hdbscan_topics(x, width=8)
    assert found.shape == (160,) and found.max() == 3
    for n in range(4):
        own = found[topic == n]
        assert (own == np.bincount(own[own >= 0]).argmax()).mean() > 0.9
        assert not np.isin(found[topic != n], own[own >= 0]).any()


def test_vectors_between_the_clusters_are_outliers():
    x, _ = _clusters(2)
    stray = np.random.default_rng(3).normal(size=(12, 16)).astype(np.float32)
    found = hdbscan_topics(np.concatenate([x, stray]), width=8)
    assert (found[160:] == -1).mean() > 0.5 > (found[:160] == -1).mean()


def test_too_few_of_a_kind_are_refused():
    with pytest.raises(ValueError, match="no topic of 10 vectors"):
        hdbscan_topics(np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32), width=4)
