"""BM3."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import LightGCNConfig
from mmjax.models.multimodal import bm3
from mmjax.models.multimodal.bm3 import BM3Config
from tests.models.conftest import vectors
from tests.starts import started

CONFIG = BM3Config(width=4, dropout=0.5, l2=0.1)


def _key():
    return jax.random.key(3)


def _built(task, **changes):
    model = bm3.build(BM3Config(**{**CONFIG.__dict__, **changes}), task)
    return model, started(model.objective, jax.random.key(0))["params"]


def _cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def _identity(params):
    return params | {"predictor": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}}


def test_losses_by_their_definition(task, rows):
    model, params = _built(task, dropout=0.0)
    value, aux = model.objective.loss(params, {}, rows, _key())
    gcn = light_gcn.build(LightGCNConfig(width=4, hops=1), task)
    users, items = (np.asarray(x) for x in vectors(gcn, params["ids"], {}, _key()))
    items = items + np.asarray(params["ids"]["item_embedding"])

    def q(x):
        return x @ params["predictor"]["kernel"] + params["predictor"]["bias"][None]

    u, i = rows["user"][:3], rows["item"][:3]
    pairs = (1 - _cosine(q(users[u]), items[i])) + (1 - _cosine(q(items[i]), users[u]))
    assert_allclose(aux.metrics["pairs"], pairs.mean(), rtol=1e-4)
    for name in ("text", "image"):
        w = params["content"][f"project_{name}"]
        z = np.asarray(params["content"][f"table_{name}"] @ w["kernel"] + w["bias"][None])[i]
        both = (1 - _cosine(q(z), items[i])) + (1 - _cosine(q(z), z))
        assert_allclose(aux.metrics[name], 2 * both.mean(), rtol=1e-4)
    norms = (np.linalg.norm(users) + np.linalg.norm(items)) / task.n_items
    assert_allclose(aux.metrics["norms"], 0.1 * norms, rtol=1e-5)
    assert_allclose(value, sum(aux.metrics.values()), rtol=1e-6)
    found_users, found_items = vectors(model, params, {}, _key())
    assert_allclose(found_users, q(users), rtol=1e-4, atol=1e-6)
    assert_allclose(found_items, q(items), rtol=1e-4, atol=1e-6)


def test_parallel_vectors_and_the_identity_lose_nothing(task, rows):
    model, params = _built(task, dropout=0.0, hops=0)
    along = jnp.array([[1.0, -2.0, 0.5, 3.0]])
    ids = {name: jnp.arange(1.0, len(x) + 1)[:, None] * along for name, x in params["ids"].items()}
    flat = {
        name: {"kernel": jnp.zeros_like(w["kernel"]), "bias": along[0]} if "project" in name else w
        for name, w in params["content"].items()
    }
    params = _identity(params | {"ids": ids, "content": flat})
    metrics = model.objective.loss(params, {}, rows, _key())[1].metrics
    for name in ("pairs", "text", "image"):
        assert_allclose(metrics[name], 0, atol=1e-5)
    opposite = {**ids, "user_embedding": -ids["user_embedding"]}
    metrics = model.objective.loss(params | {"ids": opposite}, {}, rows, _key())[1].metrics
    assert_allclose(metrics["pairs"], 4, rtol=1e-5)


def test_losses_lie_between_zero_and_four(task, rows):
    model, params = _built(task)

    @jax.jit
    def metrics(seed):
        k_values, k_loss = jax.random.split(jax.random.key(seed))
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(k_values, len(leaves))
        drawn = [3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
        return model.objective.loss(jax.tree.unflatten(tree, drawn), {}, rows, k_loss)[1].metrics

    for seed in range(20):
        found = metrics(seed)
        assert 0 <= found["pairs"] <= 4
        assert 0 <= found["text"] <= 2 * 4
        assert found["norms"] >= 0


def test_no_gradient_reaches_the_targets(getkey):
    x, y = (jax.random.normal(getkey(), (5, 3)) for _ in range(2))
    online, target = jax.grad(lambda *a: bm3.alignment(*a).sum(), argnums=(0, 1))(x, y)
    assert np.asarray(online).any()
    assert not np.asarray(target).any()


def test_items_that_are_only_targets_get_no_gradient(task, rows):
    # With one pair, no layers and no norms, the id of its user learns from q(u) alone.
    model, params = _built(task, dropout=0.0, hops=0, l2=0.0, content_weight=0.0)
    one = {name: x[:1] for name, x in rows.items()}
    grads = jax.grad(lambda p: model.objective.loss(p, {}, one, _key())[0])(params)["ids"]
    q = params["predictor"]
    u, i = params["ids"]["user_embedding"][0], 2 * params["ids"]["item_embedding"][0]

    def only_online(u):
        x = u @ q["kernel"] + q["bias"]
        return 1 - (x @ i) / jnp.linalg.norm(x) / jnp.linalg.norm(i)

    assert_allclose(grads["user_embedding"][0], jax.grad(only_online)(u), rtol=1e-4, atol=1e-6)
    assert not np.asarray(grads["user_embedding"][1:]).any()


@pytest.mark.parametrize("trainable", [True, False])
def test_gradient_reaches_what_learns(task, rows, trainable):
    model, params = _built(task, trainable_features=trainable)
    assert any("table" in name for name in params["content"]) == trainable
    grads = jax.grad(lambda p: model.objective.loss(p, {}, rows, _key())[0])(params)
    for x in jax.tree.leaves(grads):
        assert np.isfinite(x).all()
        assert np.asarray(x).any()


def test_rows_that_do_not_count_and_negatives_are_not_read(task, rows):
    model, params = _built(task)
    value = model.objective.loss(params, {}, rows, _key())[0]
    fewer = {name: x[:3] for name, x in rows.items() if name != "negatives"}
    assert_allclose(model.objective.loss(params, {}, fewer, _key())[0], value, rtol=1e-6)


def test_dropout_changes_the_targets_only_in_training(task, rows):
    model, params = _built(task)
    values = {float(model.objective.loss(params, {}, rows, jax.random.key(s))[0]) for s in range(3)}
    assert len(values) == 3
    one, other = (vectors(model, params, {}, jax.random.key(s)) for s in range(2))
    chex.assert_trees_all_equal(one, other)


def test_unknown_modality_is_refused(task):
    with pytest.raises(ValueError, match="audio"):
        _built(task, modalities=("audio",))
