"""The synthetic data of the MMGRec checks."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmjax.data.core.interactions import validate
from mmjax.data.synthetic.interactions import topics


def test_made_as_described():
    data = validate(topics(3))
    assert (data.n_users, data.n_items) == (400, 300)
    assert {n: x.shape for n, x in data.features.items()} == {"image": (300, 32), "text": (300, 32)}
    for split, count in (("train", 12), ("valid", 1), ("test", 2)):
        assert_array_equal(np.bincount(data.pairs(split)[:, 0]), np.full(400, count))
    assert data.digest == topics(3).digest != topics(4).digest


def test_users_stay_in_the_topics_they_like():
    data = topics(1)
    topic = np.array([int(title.split()[-1]) for title in data.titles])
    assert_array_equal(np.bincount(topic), np.full(6, 50))
    pairs = np.concatenate([data.train, data.valid, data.test])
    met = np.zeros((400, 6), bool)
    met[pairs[:, 0], topic[pairs[:, 1]]] = True
    assert met.sum(1).max() == 2
    for features in data.features.values():
        centres = np.stack([features[topic == t].mean(0) for t in range(6)])
        gaps = ((features[:, None] - centres[None]) ** 2).sum(2)
        assert_array_equal(gaps.argmin(1), topic)


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="needs 15 items of 2 topics out of 6; there are only 12"):
        topics(n_items=36)
