"""FREEDOM."""

import chex
import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import LightGCNConfig
from mmjax.models.common.item_graphs import mixed_item_graph
from mmjax.models.multimodal import freedom
from mmjax.models.multimodal.freedom import FREEDOMConfig
from tests.models.conftest import N_ITEMS, N_USERS, PAIRS, vectors
from tests.starts import started

CONFIG = FREEDOMConfig(width=4, k=2, dropout=0.5, content_weight=0.1)
KEY = jax.random.key(3)


def _config(**changes):
    return FREEDOMConfig(**{**CONFIG.__dict__, **changes})


def _built(task, **changes):
    model = freedom.build(_config(**changes), task)
    return model, started(model.objective, jax.random.key(0))["params"]


def _batch(model, rows, seed=1):
    return rows | model.objective.epoch(jax.random.key(seed))


def _dense(op, weights=None):
    s = op.structure
    a = np.zeros((N_USERS + N_ITEMS,) * 2)
    np.add.at(a, (s.receivers, s.senders), op.weights if weights is None else weights)
    return a


def test_without_item_graph_pruning_and_content_loss_it_is_light_gcn(task, rows):
    model, params = _built(task, item_hops=0, dropout=0.0, content_weight=0.0)
    gcn = light_gcn.build(LightGCNConfig(width=4, hops=2, l2=0.0), task)
    chex.assert_trees_all_equal_shapes(params["ids"], started(gcn.objective, KEY)["params"])
    assert set(params) == {"ids"}
    assert model.objective.epoch is None

    def both(model, params):
        return jax.value_and_grad(lambda p: model.objective.loss(p, {}, rows, KEY)[0])(params)

    value, grads = both(model, params)
    chex.assert_trees_all_close((value, grads["ids"]), both(gcn, params["ids"]), atol=1e-6)
    ours, theirs = vectors(model, params, {}, KEY), vectors(gcn, params["ids"], {}, KEY)
    chex.assert_trees_all_close(ours, theirs, atol=1e-6)


def test_items_add_their_neighbours_initial_vectors(task):
    model, params = _built(task)
    plain, _ = _built(task, item_hops=0)
    graph = mixed_item_graph(task, ("text", "image"), k=2)
    s = np.zeros((N_ITEMS, N_ITEMS))
    np.add.at(s, (graph.structure.receivers, graph.structure.senders), graph.weights)
    assert_allclose(s.sum(1), 1, rtol=1e-6)
    users, items = vectors(model, params, {}, KEY)
    bare_users, bare_items = vectors(plain, params, {}, KEY)
    assert_allclose(users, bare_users, atol=1e-6)
    expected = s @ np.asarray(params["ids"]["item_embedding"])
    assert_allclose(items - bare_items, expected, atol=1e-5)


def test_content_losses_by_their_definition(task, rows):
    model, params = _built(task)
    batch = _batch(model, rows)
    value, aux = model.objective.loss(params, {}, batch, KEY)
    a = _dense(task.adjacency(), batch["weights"])
    e = np.concatenate([params["ids"]["user_embedding"], params["ids"]["item_embedding"]])
    users = ((e + a @ e + a @ a @ e) / 3)[:N_USERS]
    u, i, j = rows["user"][:3], rows["item"][:3], rows["negatives"][:3, 0]
    for name in ("text", "image"):
        w = params["content"][f"project_{name}"]
        z = params["content"][f"table_{name}"] @ w["kernel"] + w["bias"][None]
        margin = (users[u] * (z[i] - z[j])).sum(-1)
        expected = 0.1 * jax.nn.softplus(-margin).mean()
        assert_allclose(aux.metrics[f"rank_{name}"], expected, rtol=1e-5)
    assert_allclose(value, sum(aux.metrics.values()), rtol=1e-6)


def test_pruned_graph_has_the_right_edges_and_degrees(task):
    model, _ = _built(task)
    a = _dense(task.adjacency(), model.objective.epoch(KEY)["weights"])
    assert_allclose(a, a.T)
    assert (a > 0).sum() == 2 * (len(PAIRS) // 2)
    full = _dense(task.adjacency()) > 0
    assert not (a > 0)[~full].any()
    d = (a > 0).sum(1)
    r, s = np.nonzero(a)
    assert_allclose(a[r, s], 1 / np.sqrt(d[r] * d[s]), rtol=1e-5)


def test_edges_between_rare_ends_are_kept_more_often(task):
    model, _ = _built(task)
    keys = jax.random.split(jax.random.key(5), 3000)
    kept = jax.vmap(lambda k: model.objective.epoch(k)["weights"] > 0)(keys).mean(0)
    s = task.adjacency().structure
    d = np.bincount(s.receivers, minlength=N_USERS + N_ITEMS)
    chance = 1 / np.sqrt(d[s.senders] * d[s.receivers])
    levels = np.unique(chance.round(6))
    rates = [kept[np.isclose(chance, level, atol=1e-5)].mean() for level in levels]
    assert len(levels) >= 3
    assert (np.diff(rates) > 0.02).all()


def test_the_epoch_changes_training_and_not_evaluation(task, rows):
    model, params = _built(task)
    losses = {
        float(model.objective.loss(params, {}, _batch(model, rows, s), KEY)[0]) for s in (1, 2)
    }
    assert len(losses) == 2
    unpruned, _ = _built(task, dropout=0.0)
    ours, full = (vectors(o, params, {}, KEY) for o in (model, unpruned))
    chex.assert_trees_all_equal(ours, full)


def test_with_the_weights_of_all_edges_it_is_unpruned(task, rows):
    model, params = _built(task)
    unpruned, _ = _built(task, dropout=0.0)
    batch = rows | {"weights": task.adjacency().weights}
    found = model.objective.loss(params, {}, batch, KEY)[0]
    assert_allclose(found, unpruned.objective.loss(params, {}, rows, KEY)[0], rtol=1e-6)


@pytest.mark.parametrize("trainable", [True, False])
def test_gradient_reaches_what_learns(task, rows, trainable):
    model, params = _built(task, trainable_features=trainable)
    assert any("table" in name for name in params["content"]) == trainable
    batch = _batch(model, rows)
    grads = jax.grad(lambda p: model.objective.loss(p, {}, batch, KEY)[0])(params)
    for path, x in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(x).all()
        # A bias moves the scores of an item and of its negative alike.
        assert np.asarray(x).any() or "bias" in str(path)
    fewer = {name: x[:3] for name, x in rows.items()} | {"weights": batch["weights"]}
    less = jax.grad(lambda p: model.objective.loss(p, {}, fewer, KEY)[0])(params)
    chex.assert_trees_all_close(less, grads, atol=1e-6)


def test_trained_tables_leave_the_item_graph_alone(task):
    model, params = _built(task)
    moved = params | {"content": jax.tree.map(lambda x: x + 1, params["content"])}
    one, other = (vectors(model, p, {}, KEY) for p in (params, moved))
    chex.assert_trees_all_equal(one, other)


def test_shares_of_the_modalities(task):
    def dense(names, shares=()):
        graph = mixed_item_graph(task, names, shares, k=2)
        a = np.zeros((N_ITEMS, N_ITEMS))
        np.add.at(a, (graph.structure.receivers, graph.structure.senders), graph.weights)
        return a

    text, image = dense(("text",)), dense(("image",))
    assert ((text > 0).sum(1) == 2).all()
    assert_allclose(text[text > 0], 0.5)
    assert (np.diag(text) > 0).all()
    assert_allclose(dense(("image", "text")), 0.1 * image + 0.9 * text, atol=1e-6)
    assert_array_equal(dense(("text", "image")), dense(("image", "text")))
    assert_allclose(dense(("text", "image"), (0.25, 0.5)), 0.25 * text + 0.5 * image, atol=1e-6)


def test_bad_settings_are_refused(task):
    with pytest.raises(ValueError, match="one number for each"):
        freedom.build(_config(shares=(1.0,)), task)
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\], got 1.5"):
        freedom.build(_config(dropout=1.5), task)
    with pytest.raises(ValueError, match="audio"):
        freedom.build(_config(modalities=("audio",)), task)


def test_official_counts_edges_and_reads_no_hops_as_mmrec_does(task):
    pairs = len(PAIRS)
    shares = [1 - n / pairs for n in range(1, pairs)] + [n / 100 for n in range(1, 100)]
    cut = [d for d in shares if int(pairs * (1.0 - d)) != np.floor(pairs * round(1 - d, 12))]
    for dropout in (cut[0], 0.5):
        model, _ = _built(task, dropout=dropout, official=True)
        kept = np.asarray(model.objective.epoch(jax.random.key(1))["weights"]) > 0
        assert kept.sum() == 2 * int(pairs * (1.0 - dropout))
    model, params = _built(task, item_hops=0, official=True)
    plain, _ = _built(task, item_hops=0)
    added = vectors(model, params, {}, KEY)[1] - vectors(plain, params, {}, KEY)[1]
    assert_allclose(added, params["ids"]["item_embedding"], atol=1e-6)
