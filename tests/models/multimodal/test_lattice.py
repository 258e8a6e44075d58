"""LATTICE."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.models.multimodal import lattice
from mmjax.models.multimodal.lattice import LATTICEConfig
from tests.models.conftest import N_ITEMS, N_USERS, PAIRS, vectors
from tests.starts import started

CONFIG = LATTICEConfig(width=4, content_width=6, k=3, skip=0.6, l2=0.1)
NAMES = ("text", "image")


def _built(task, **changes):
    model = lattice.build(LATTICEConfig(**{**CONFIG.__dict__, **changes}), task)
    state = started(model.objective, jax.random.key(0))
    return model, state.pop("params"), state


@cache
def _value_and_grad():
    def loss(params, model, state, batch):
        return model.objective.loss(params, state, batch, jax.random.key(3))

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def _dense(item_graph):
    reads, weights = item_graph
    rows = jnp.arange(N_ITEMS)[:, None]
    return np.asarray(jnp.zeros((N_ITEMS, N_ITEMS)).at[rows, reads.index].add(weights))


def _normalised(a):
    d = a.sum(1)
    return a / np.sqrt(np.outer(d, d))


def _neighbourhood(x, k):
    """The k largest cosines of every row, in a matrix of all pairs."""
    x = np.asarray(x, np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    full = x @ x.T
    a = np.zeros_like(full)
    keep = np.argsort(-full, axis=1)[:, :k]
    np.put_along_axis(a, keep, np.take_along_axis(full, keep, 1), 1)
    return a


def _item_matrix(params, task, share, skip=0.6, k=3):
    learnt, raw = np.zeros((N_ITEMS, N_ITEMS)), np.zeros((N_ITEMS, N_ITEMS))
    for w, name in zip(share, NAMES, strict=True):
        dense = params["content"][f"project_{name}"]
        z = params["content"][f"table_{name}"] @ dense["kernel"] + dense["bias"][None]
        learnt += w * _neighbourhood(z, k)
        raw += w * _normalised(_neighbourhood(task.features[name], k))
    return (1 - skip) * _normalised(learnt) + skip * raw


def test_the_item_graph_equals_its_dense_form(task):
    _, params, state = _built(task)
    found = _dense(state["item_graph"]["kept"])
    assert_allclose(found, _item_matrix(params, task, (0.5, 0.5)), rtol=1e-4, atol=1e-6)


def test_modalities_are_weighed_by_a_softmax(task, rows):
    model, params, state = _built(task)
    params = params | {"mix": jnp.array([0.0, np.log(3.0)])}
    batch = rows | {"epoch": jnp.uint32(7)}
    (_, aux), _ = _value_and_grad()(params, model, state, batch)
    found = _dense(aux.state["item_graph"]["kept"])
    assert_allclose(found, _item_matrix(params, task, (0.25, 0.75)), rtol=1e-4, atol=1e-6)


def test_vectors_and_loss_by_their_definition(task, rows):
    model, params, state = _built(task)
    users, items = (np.asarray(x) for x in vectors(model, params, state, jax.random.key(0)))
    a = np.eye(N_USERS + N_ITEMS)
    a[PAIRS[:, 0], N_USERS + PAIRS[:, 1]] = a[N_USERS + PAIRS[:, 1], PAIRS[:, 0]] = 1
    a /= a.sum(1, keepdims=True)
    ids = np.asarray(params["ids"]["item_embedding"])
    e = np.concatenate([params["ids"]["user_embedding"], ids])
    x = (e + a @ e + a @ a @ e) / 3
    h = _item_matrix(params, task, (0.5, 0.5)) @ ids
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    assert_allclose(users, x[:N_USERS], rtol=1e-4, atol=1e-6)
    assert_allclose(items, x[N_USERS:] + h, rtol=1e-4, atol=1e-5)
    batch = rows | model.objective.epoch(jax.random.key(1))
    (value, aux), _ = _value_and_grad()(params, model, state, batch)
    u, i, j = users[rows["user"][:3]], items[rows["item"][:3]], items[rows["negatives"][:3, 0]]
    rank = np.log1p(np.exp((u * (j - i)).sum(-1))).mean()
    norms = 0.1 * 0.5 * (u**2 + i**2 + j**2).sum() / 3
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-4)
    assert_allclose(aux.metrics["norms"], norms, rtol=1e-4)
    assert_allclose(value, rank + norms, rtol=1e-4)


def test_the_penalty_grows_with_the_square(task, rows):
    # Without the item graph, whose vectors have length one, the final vectors are linear.
    model, params, state = _built(task, item_hops=0, hops=0)
    batch = rows | {"epoch": jnp.uint32(1)}
    zero = {**params, "ids": jax.tree.map(jnp.zeros_like, params["ids"])}
    nothing = _value_and_grad()(zero, model, state, batch)[0][1].metrics["norms"]
    assert nothing == 0
    users = {**params, "ids": {**zero["ids"], "user_embedding": params["ids"]["user_embedding"]}}
    double = {**users, "ids": jax.tree.map(lambda x: 2 * x, users["ids"])}
    one, four = (
        _value_and_grad()(p, model, state, batch)[0][1].metrics["norms"] for p in (users, double)
    )
    assert_allclose(four, 4 * one, rtol=1e-5)


def test_the_graph_learns_in_the_first_batch_of_an_epoch_alone(task, rows):
    model, params, state = _built(task)
    moved = {**params, "content": jax.tree.map(lambda x: x[::-1] + 0.3, params["content"])}
    step = _value_and_grad()
    batch = rows | model.objective.epoch(jax.random.key(1))
    (first, aux), grads = step(moved, model, state, batch)
    for path, x in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(x).all(), path
        assert np.asarray(x).any(), path
    rebuilt = _dense(aux.state["item_graph"]["kept"])
    assert_allclose(rebuilt, _item_matrix(moved, task, (0.5, 0.5)), rtol=1e-4, atol=1e-6)

    # Later batches of the epoch: the kept graph, whatever the content has become.
    (second, later), grads = step(params, model, aux.state, batch)
    chex.assert_trees_all_equal(later.state, aux.state)
    assert not np.asarray(grads["mix"]).any()
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(grads["content"]))
    assert np.asarray(grads["ids"]["item_embedding"]).any()
    assert_allclose(second, first, rtol=1e-6)

    # The next epoch builds anew.
    batch = rows | model.objective.epoch(jax.random.key(2))
    (_, aux), grads = step(params, model, aux.state, batch)
    found = _dense(aux.state["item_graph"]["kept"])
    assert_allclose(found, _item_matrix(params, task, (0.5, 0.5)), rtol=1e-4, atol=1e-6)
    assert np.asarray(grads["mix"]).any()


def test_evaluation_builds_its_own_graph(task):
    model, params, state = _built(task)
    stale = jax.tree.map(jnp.zeros_like, state)
    key = jax.random.key(0)
    fresh, other = vectors(model, params, state, key), vectors(model, params, stale, key)
    chex.assert_trees_all_equal(fresh, other)
    moved = {**params, "mix": jnp.array([3.0, -3.0])}
    assert not np.allclose(vectors(model, moved, state, key)[1], fresh[1])


def test_constant_features_are_no_parameters(task, rows):
    model, params, state = _built(task, trainable_features=False)
    assert set(params["content"]) == {"project_text", "project_image"}
    _, grads = _value_and_grad()(params, model, state, rows | {"epoch": jnp.uint32(1)})
    assert all(np.asarray(x).any() for x in jax.tree.leaves(grads))


@pytest.mark.parametrize("names", [("text",), ("image", "text")])
def test_the_order_and_number_of_modalities(task, names):
    model, params, state = _built(task, modalities=names)
    assert params["mix"].shape == (len(names),)
    params = {**params, "mix": jnp.arange(1.0, len(names) + 1)}
    key = jax.random.key(0)
    compiled = jax.jit(lambda o, p: vectors(o, p, state, key))(model, params)
    chex.assert_trees_all_close(vectors(model, params, state, key), compiled, atol=1e-5)
    if len(names) == 2:
        turned, _, _ = _built(task, modalities=names[::-1])
        same = {**params, "mix": params["mix"][::-1]}
        chex.assert_trees_all_close(vectors(turned, same, state, key), compiled, atol=1e-5)


def test_unknown_modality_is_refused(task):
    with pytest.raises(ValueError, match="audio"):
        _built(task, modalities=("audio",))
