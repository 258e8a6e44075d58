"""MGCN and what it shares with SMORE: its limits, its terms by hand, and eight devices."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.losses.pairwise import info_nce
from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import LightGCNConfig
from mmjax.models.common.purified_views import (
    BehaviourAndSide,
    GuidedGate,
    PurifiedViews,
    loss_terms,
)
from mmjax.models.multimodal import mgcn
from mmjax.models.multimodal.mgcn import CommonAndSpecific, MGCNConfig
from tests.models.conftest import N_ITEMS, N_USERS, vectors
from tests.starts import started

CONFIG = MGCNConfig(width=4, k=3, contrast=0.5, l2=0.1)


def shut(params):
    """Close every gate that content opens for the ids."""

    def close(path, x):
        names = [entry.key for entry in path]
        gate = any(n.startswith("purifier") for n in names)
        return jnp.full_like(x, -1e4) if gate and names[-1] == "bias" else x

    return jax.tree_util.tree_map_with_path(close, params)


def test_without_contrast_and_side_it_is_light_gcn(task, rows, getkey):
    config = dataclasses.replace(CONFIG, contrast=0.0, l2=0.0)
    model = mgcn.build(config, task)
    params = shut(started(model.objective, getkey())["params"])
    base = light_gcn.build(LightGCNConfig(width=4, hops=2, l2=0.0), task)
    ids, key = params["ids"], getkey()
    for ours, theirs in zip(
        vectors(model, params, {}, key), vectors(base, ids, {}, key), strict=True
    ):
        assert_allclose(ours, theirs, atol=1e-6)
    value, aux = model.objective.loss(params, {}, rows, key)
    assert_allclose(value, base.objective.loss(ids, {}, rows, key)[0], rtol=1e-5)
    assert "contrast" not in aux.metrics


def test_terms_by_their_definition(rows, getkey):
    behaviour, side = (jax.random.normal(getkey(), (N_USERS + N_ITEMS, 4)) for _ in range(2))
    terms = loss_terms(
        BehaviourAndSide(behaviour, side), N_USERS, rows, l2=0.1, contrast=0.5, temperature=0.3
    )
    x, user, item = behaviour + side, rows["user"][:3], N_USERS + rows["item"][:3]
    other = N_USERS + rows["negatives"][:3, 0]
    margin = (x[user] * (x[item] - x[other])).sum(1)
    assert_allclose(terms["rank"], jax.nn.softplus(-margin).mean(), rtol=1e-5)
    squares = sum((x[ids] ** 2).sum() for ids in (user, item, other))
    assert_allclose(terms["norms"], 0.1 * squares / 2 / 3, rtol=1e-5)
    nce = [info_nce(side[i], behaviour[i], temperature=0.3).mean() for i in (item, user)]
    assert_allclose(terms["contrast"], 0.5 * sum(nce), rtol=1e-5)


def test_equal_views_cost_the_logarithm_of_the_rows(rows):
    ones = jnp.ones((N_USERS + N_ITEMS, 2))
    terms = loss_terms(BehaviourAndSide(ones, ones), N_USERS, rows, contrast=1.0)
    assert_allclose(terms["contrast"], 2 * jnp.log(3), rtol=1e-6)


def test_gate_by_hand(getkey):
    x, guide = jnp.array([[2.0, -4.0]]), jnp.array([[1.0]])
    params = {"linear": {"kernel": jnp.array([[0.0, 5.0]]), "bias": jnp.array([0.0, -5.0])}}
    assert_allclose(GuidedGate().apply({"params": params}, x, guide), [[1.0, -2.0]])
    many = jnp.ones((2000, 1)), jnp.ones((2000, 1))
    params = {"linear": {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}}
    dropped = GuidedGate(0.5).apply(
        {"params": params}, *many, train=True, rngs={"dropout": getkey()}
    )
    assert set(jnp.unique(dropped).tolist()) == {0.0, 1.0}
    assert_allclose(dropped.mean(), 0.5, atol=0.05)


def test_views_travel_over_items_and_on_to_users(task, getkey):
    bound = mgcn.build(CONFIG, task).retriever.index.args[0]
    initial = jax.random.normal(getkey(), (task.n_nodes, 4))
    content = {"text": jax.random.normal(getkey(), (N_ITEMS, 4))}
    network = PurifiedViews(2)
    variables = network.init(getkey(), initial, content, bound.graphs, bound.to_users)
    view = network.apply(variables, initial, content, bound.graphs, bound.to_users)["text"]
    gate = variables["params"]["purifier_text"]["linear"]
    items = initial[N_USERS:] * jax.nn.sigmoid(
        content["text"] @ gate["kernel"] + gate["bias"][None, :]
    )

    def dense(op, n):
        a = jnp.zeros((n, n))
        return a.at[op.structure.receivers, op.structure.senders].add(op.weights)

    s, a = dense(bound.graphs["text"], N_ITEMS), dense(bound.adjacency, task.n_nodes)
    items = s @ s @ items
    assert_allclose(view[N_USERS:], items, atol=1e-5)
    assert_allclose(view[:N_USERS], a[:N_USERS, N_USERS:] @ items, atol=1e-5)


def test_equal_views_have_nothing_specific(getkey):
    x, behaviour = (jax.random.normal(getkey(), (5, 4)) for _ in range(2))
    views = {"a": x, "b": x, "c": x}
    network = CommonAndSpecific()
    variables = network.init(getkey(), views, behaviour)
    assert_allclose(network.apply(variables, views, behaviour), x / 4, atol=1e-6)


def test_fuser_by_its_definition(getkey):
    views = {name: jax.random.normal(getkey(), (5, 4)) for name in "ab"}
    behaviour = jax.random.normal(getkey(), (5, 4))
    network = CommonAndSpecific()
    variables = network.init(getkey(), views, behaviour)
    p = variables["params"]

    def linear(name, x):
        return x @ p[name]["kernel"] + (p[name]["bias"][None, :] if "bias" in p[name] else 0)

    scores = [linear("weigh", jnp.tanh(linear("query", x))) for x in views.values()]
    a = jax.nn.softmax(jnp.concatenate(scores, axis=1))
    common = a[:, :1] * views["a"] + a[:, 1:] * views["b"]
    total = common
    for name, x in views.items():
        gate = p[f"prefer_{name}"]["linear"]
        opened = jax.nn.sigmoid(behaviour @ gate["kernel"] + gate["bias"][None, :])
        total = total + opened * (x - common)
    assert_allclose(network.apply(variables, views, behaviour), total / 3, atol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_the_gradient_is_finite_and_reaches_all_parameters(task, rows, getkey, trainable):
    model = mgcn.build(dataclasses.replace(CONFIG, trainable_features=trainable), task)
    params = started(model.objective, getkey())["params"]
    tables = [n for n in params["content"] if n.startswith("table")]
    assert len(tables) == (2 if trainable else 0)
    gradient = jax.grad(lambda p: model.objective.loss(p, {}, rows, jax.random.key(0))[0])(params)
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(g).all(), path
        assert jnp.abs(g).max() > 0, path


def test_any_modalities_in_any_number(task, getkey):
    for names in (("text",), ("image",), ("image", "text")):
        model = mgcn.build(dataclasses.replace(CONFIG, modalities=names), task)
        params = started(model.objective, getkey())["params"]
        assert {n[8:] for n in params["content"] if n.startswith("project_")} == set(names)
        users, items = vectors(model, params, {}, getkey())
        assert users.shape == (N_USERS, 4)
        assert items.shape == (N_ITEMS, 4)
    with pytest.raises(ValueError, match="sound"):
        mgcn.build(dataclasses.replace(CONFIG, modalities=("sound",)), task)


def test_behaviour_is_light_gcn(task, getkey):
    model = mgcn.build(CONFIG, task)
    params = started(model.objective, getkey())["params"]
    bound = model.retriever.index.args[0]
    nodes = mgcn.MGCN(CONFIG, N_USERS, N_ITEMS).apply({"params": params}, bound)
    initial = jnp.concatenate([params["ids"]["user_embedding"], params["ids"]["item_embedding"]])
    assert_allclose(nodes.behaviour, lightgcn(bound.adjacency, initial, layers=2), atol=1e-6)
    assert_allclose(jnp.concatenate(vectors(model, params, {}, getkey())), nodes.final, atol=1e-6)
