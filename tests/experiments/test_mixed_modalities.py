"""Synthetic experiment E0 of MetaMMF: weights of its own let one layer read every kind of item."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.sampling import negative_index
from mmjax.data.interactions import validate
from mmjax.data.synthetic import mixed_modalities
from mmjax.models import meta_mmf
from mmjax.models.configs.meta_mmf import MetaMMFConfig
from mmjax.models.task import Task
from mmjax.training.config import FitConfig
from mmjax.training.fit import fit
from mmjax.training.source import pairs_source

EPOCHS = 94
"""1,504 steps of 2,000 triples."""


def _cold_recall(dynamic, widths=(32,), seed=0):
    """Recall@10 among the cold items; what chance gives is 0.042."""
    data, cold = mixed_modalities(seed)
    task = Task(data.train, data.n_users, data.n_items, data.features)
    config = MetaMMFConfig(head="mf", widths=widths, id_width=0, dynamic=dynamic)
    objective = meta_mmf.build(config, task)
    unseen = negative_index(data.train, data.n_users, data.n_items, "train")
    source = pairs_source(data.train, data.n_items, 2000, unseen=unseen)
    length = FitConfig(epochs=EPOCHS, quiet=True, tensorboard=False, devices=1)
    result = fit(objective, source, optax.adam(3e-3), None, length, seeds=(seed,))
    users, items = objective.predict(result.variables[0]["params"], {}, jax.random.key(0))
    best = cold[np.asarray(jax.lax.top_k(users @ items[jnp.asarray(cold)].T, 10)[1])]
    wanted = data.test[:, 1].reshape(data.n_users, 10)
    return np.mean((best[:, :, None] == wanted[:, None]).any(2))


@pytest.mark.slow
def test_item_specific_weights_beat_static_ones_in_one_layer():
    recall = {form: _cold_recall(form) for form in ("none", "cp", "full")}
    print(recall)
    assert recall["none"] > 0.1
    assert recall["cp"] >= 1.4 * recall["none"], recall
    assert recall["full"] >= recall["cp"], recall


def test_made_as_described():
    data, cold = mixed_modalities(3)
    validate(data)
    assert (data.n_users, data.n_items, len(cold)) == (800, 1200, 240)
    assert {name: x.shape[1] for name, x in data.features.items()} == {
        "audio": 16,
        "image": 16,
        "kind": 4,
        "text": 16,
    }
    assert_array_equal(np.bincount(data.train[:, 0]), np.full(800, 40))
    assert_array_equal(np.bincount(data.test[:, 0]), np.full(800, 10))
    assert not set(cold) & set(data.train[:, 1]) and set(data.test[:, 1]) <= set(cold)
    assert data.digest == mixed_modalities(3).data.digest != mixed_modalities(4).data.digest


def test_the_taste_stands_where_the_kind_says():
    """A projection of 8 dimensions to 16 leaves half of the singular values at zero."""
    data, _ = mixed_modalities(0)
    kind = data.features["kind"].argmax(1)
    x = [data.features[name] for name in ("image", "audio", "text")]
    for k in range(4):
        blocks = [*x, x[0] - x[1]]
        ranks = [int(np.linalg.matrix_rank(b[kind == k], tol=1e-3)) for b in blocks]
        assert ranks == [8 if b == k else 16 for b in range(4)]
    assert_allclose(data.features["kind"].sum(1), 2)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="needs 40 warm items, there are 16"):
        mixed_modalities(n_items=20)
    with pytest.raises(ValueError, match="needs 10 cold items, there are 0"):
        mixed_modalities(cold_share=0.0)
