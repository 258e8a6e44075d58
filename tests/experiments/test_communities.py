"""Synthetic experiment E0: content that tells the community must beat ids alone."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from experiments.common.interactions import run_method
from experiments.mig_gt.config import preset
from mmjax.data.core.interactions import validate
from mmjax.data.synthetic.interactions import communities
from mmjax.training.run_config import override

QUIET = {"fit.quiet": True, "fit.tensorboard": False, "fit.devices": 1, "seeds": 3}
TEXT = {"model.modalities": ("text",), "model.hops": (2,)}
IDS = {"model.modalities": (), "model.hops": (), "model.item_embedding": True}


def _recall(changes):
    config = override(preset("mig_gt", "communities", "paper"), {**QUIET, **changes})
    return np.array(run_method(config).record.test["recall@20"])


@pytest.mark.slow
def test_text_beats_ids_in_every_seed():
    text, ids = _recall(TEXT), _recall(IDS)
    assert (text > ids).all(), (text, ids)
    assert text.mean() > 1.05 * ids.mean()


def test_made_as_described():
    data = validate(communities(3))
    assert (data.n_users, data.n_items) == (600, 400)
    for split, count in (("train", 10), ("valid", 3), ("test", 3)):
        assert_array_equal(np.bincount(data.pairs(split)[:, 0]), np.full(600, count))
    assert data.digest == communities(3).digest != communities(4).digest


def test_users_prefer_their_community():
    data = communities(1)
    community = np.array([int(title.split()[-1]) for title in data.titles])
    pairs = np.concatenate([data.train, data.valid, data.test])
    share = np.zeros((600, 8))
    np.add.at(share, (pairs[:, 0], community[pairs[:, 1]]), 1 / 16)
    # With 8 communities and weight 8 inside, about 8 / 15 of the draws stay at home.
    assert 0.4 < share.max(1).mean() < 0.65


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="needs more"):
        communities(n_items=10)
