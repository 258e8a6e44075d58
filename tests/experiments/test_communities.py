"""Synthetic experiment E0: content that tells the community must beat ids alone."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import ttest_rel

from experiments.common.interactions import run_method
from experiments.mig_gt.config import preset
from mmjax.data.core.interactions import validate
from mmjax.data.synthetic.interactions import communities
from mmjax.training.run_config import override

QUIET = {"fit.quiet": True, "fit.tensorboard": False, "fit.devices": 1}
TEXT = {"model.modalities": ("text",), "model.hops": (2,)}
IDS = {"model.modalities": (), "model.hops": (), "model.item_embedding": True}


def _recall(seed, changes):
    start = preset("mig_gt", "communities", "paper")
    config = override(start, {**QUIET, **changes, "seed": seed, "exclude": "train"})
    record = run_method(config, data=communities(seed)).record
    return record.test["recall@20"][0]


@pytest.mark.slow
def test_text_beats_ids_over_draws_of_the_data():
    """A seed draws the data too: of one draw alone (0) the ids know as much as the text."""
    text, ids = (np.array([_recall(seed, of) for seed in range(6)]) for of in (TEXT, IDS))
    assert ((0.17 < ids) & (ids < 0.23)).all() and ((0.19 < text) & (text < 0.24)).all()
    assert (text[1:] > ids[1:]).all(), (text, ids)
    assert text.mean() > 1.05 * ids.mean()
    assert ttest_rel(text, ids, alternative="greater").pvalue < 0.05


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
