"""MMGRec's graph encoder: its equations, its loss, and items without an edge."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.generative.mmgrec import stages as mmgrec
from mmjax.models.generative.mmgrec.config import GraphConfig
from tests.models.conftest import N_ITEMS, N_USERS, PAIRS, vectors

SMALL = GraphConfig(width=6, out_width=4, hidden_dropout=0.0, output_dropout=0.0)
GRAD = jax.jit(
    lambda model, params, rows: jax.value_and_grad(
        lambda p: model.objective.loss(p, {}, rows, jax.random.key(1))[0]
    )(params)
)


@functools.cache
def _made(task):
    model = mmgrec.build_graph(SMALL, task)
    return model, jax.jit(lambda m, k: m.objective.init(k))(model, jax.random.key(0))["params"]


def test_by_its_equations_in_numpy(task):
    model, params = _made(task)
    users, items = vectors(model, params)
    p = jax.tree.map(np.asarray, params)
    features = np.concatenate([task.features[n] for n in ("text", "image")], 1)
    norms = [np.linalg.norm(task.features[n], axis=1, keepdims=True) for n in ("text", "image")]
    scaled = np.concatenate([features[:, :7] / norms[0], features[:, 7:] / norms[1]], 1)
    x = np.concatenate([p["user_embedding"], scaled @ p["project"]["kernel"]])
    edges = np.zeros((N_USERS + N_ITEMS,) * 2)
    edges[PAIRS[:, 0], N_USERS + PAIRS[:, 1]] = 1
    edges += edges.T
    mean = edges / np.maximum(edges.sum(1, keepdims=True), 1)
    for name in ("sage_0", "sage_1"):
        w = p[name]
        near = mean @ x @ w["neighbours"]["kernel"] + w["neighbours"]["bias"]
        x = near + x @ w["root"]["kernel"]
        x = np.where(x > 0, x, 0.01 * x) if name == "sage_0" else x
    assert_allclose(np.concatenate([users, items]), x, rtol=1e-3, atol=1e-5)


def test_loss_is_bpr_and_everything_learns(task, rows):
    model, params = _made(task)
    users, items = vectors(model, params)
    u = users[rows["user"]]
    margin = (u * (items[rows["item"]] - items[rows["negatives"][:, 0]])).sum(1)[:3]
    value, grads = GRAD(model, params, rows)
    assert_allclose(value, -jnp.log(jax.nn.sigmoid(margin)).mean(), rtol=1e-5)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_an_item_without_an_edge_has_a_finite_vector_of_its_own(task):
    """Item 4 is in no training pair: the mean over its neighbours is zero."""
    model, params = _made(task)
    items = np.asarray(vectors(model, params)[1])
    assert np.isfinite(items).all() and np.abs(items[4]).max() > 0
    assert len(np.unique(items, axis=0)) == N_ITEMS


def test_dropout_is_for_training_alone(task, rows):
    _, params = _made(task)
    model = mmgrec.build_graph(GraphConfig(width=6, out_width=4), task)
    assert_array_equal(
        np.concatenate(vectors(model, params)), np.concatenate(vectors(_made(task)[0], params))
    )
    assert GRAD(model, params, rows)[0] != GRAD(_made(task)[0], params, rows)[0]


def test_unknown_modalities_are_refused(task):
    with pytest.raises(ValueError, match="not among the features"):
        mmgrec.build_graph(GraphConfig(modalities=("smell",)), task)
