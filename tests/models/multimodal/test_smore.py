"""SMORE: spectra, preferences, and the fused item graph."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import LightGCNConfig
from mmjax.models.multimodal import smore
from mmjax.models.multimodal.smore import FUSED, PreferenceFusion, SMOREConfig, Spectra
from tests.models.conftest import N_ITEMS, N_USERS, vectors
from tests.models.multimodal.test_mgcn import shut
from tests.starts import started

CONFIG = SMOREConfig(width=4, hops=2, k=(3,), dropout=0.0, contrast=0.5, l2=0.1)


def test_without_contrast_and_side_it_is_light_gcn(task, rows, getkey):
    model = smore.build(dataclasses.replace(CONFIG, contrast=0.0, l2=0.0), task)
    params, key = shut(started(model.objective, getkey())["params"]), getkey()
    base = light_gcn.build(LightGCNConfig(width=4, hops=2, l2=0.0), task)
    assert_allclose(
        model.objective.loss(params, {}, rows, key)[0],
        base.objective.loss(params["ids"], {}, rows, key)[0],
        rtol=1e-5,
    )


def test_filters_of_weight_one_leave_the_modalities(getkey):
    content = {name: jax.random.normal(getkey(), (5, 6)) for name in "ab"}
    one = jnp.tile(jnp.array([[1.0, 0.0]]), (4, 1))
    params = {f"filter_{name}": one for name in ("a", "b", FUSED)}
    views = Spectra().apply({"params": params}, content)
    for name in "ab":
        assert_allclose(views[name], content[name], atol=1e-6)
    spectra = [np.fft.fft(x, norm="ortho", axis=1) for x in content.values()]
    fused = np.fft.ifft(spectra[0] * spectra[1], norm="ortho", axis=1).real
    assert_allclose(views[FUSED], fused, atol=1e-5)


def test_filters_start_standard_normal(getkey):
    content = {"a": jnp.ones((1, 4000))}
    weight = Spectra().init(getkey(), content)["params"]["filter_a"]
    assert weight.shape == (2001, 2)
    assert weight.dtype == jnp.float32
    assert_allclose([weight.mean(), weight.std()], [0, 1], atol=0.06)


def test_preferences_by_their_definition(getkey):
    views = {name: jax.random.normal(getkey(), (5, 4)) for name in ("a", "b", FUSED)}
    behaviour = jax.random.normal(getkey(), (5, 4))
    network = PreferenceFusion(0.5)
    variables = network.init(getkey(), views, behaviour)
    p = variables["params"]
    total = jnp.zeros((5, 4))
    for name, x in views.items():
        if name != FUSED:
            query = p[f"query_{name}"]
            hidden = jnp.tanh(views[FUSED] @ query["kernel"] + query["bias"][None, :])
            x = jax.nn.softmax(hidden @ p[f"weigh_{name}"]["kernel"], axis=1) * x
        gate = p[f"prefer_{name}"]["linear"]
        total += x * jax.nn.sigmoid(behaviour @ gate["kernel"] + gate["bias"][None, :])
    assert_allclose(network.apply(variables, views, behaviour), total / 3, atol=1e-5)
    keys = jax.random.split(getkey(), 2000)
    draws = jax.vmap(
        lambda k: network.apply(variables, views, behaviour, train=True, rngs={"dropout": k})
    )(keys)
    assert_allclose(draws.mean(0), total / 3, atol=0.06)
    assert draws.std(0).min() > 0


def test_the_fused_graph_has_the_edges_of_all(task):
    graphs = smore.build(dataclasses.replace(CONFIG, k=(2, 3)), task).retriever.index.args[0].graphs
    edges = {
        name: set(zip(g.structure.senders.tolist(), g.structure.receivers.tolist(), strict=True))
        for name, g in graphs.items()
    }
    assert [len(edges[name]) for name in ("text", "image")] == [2 * N_ITEMS, 3 * N_ITEMS]
    assert edges[FUSED] == edges["text"] | edges["image"]


@pytest.mark.parametrize("names", [("text",), ("image", "text")])
def test_the_gradient_is_finite_and_reaches_all_parameters(task, rows, getkey, names):
    model = smore.build(dataclasses.replace(CONFIG, modalities=names), task)
    params = started(model.objective, getkey())["params"]
    gradient = jax.grad(lambda p: model.objective.loss(p, {}, rows, jax.random.key(0))[0])(params)
    assert {n[7:] for n in params["spectra"]} == {*names, FUSED}
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        assert g.dtype == jnp.float32
        assert jnp.isfinite(g).all(), path
        assert jnp.abs(g).max() > 0, path


def test_bad_settings_are_refused(task):
    with pytest.raises(ValueError, match="k = "):
        smore.build(dataclasses.replace(CONFIG, k=(3, 3, 3)), task)
    clash = dataclasses.replace(task, features={FUSED: task.features["text"]})
    with pytest.raises(ValueError, match="rename"):
        smore.build(CONFIG, clash)


def test_evaluation_draws_nothing(task, getkey):
    model = smore.build(dataclasses.replace(CONFIG, dropout=0.5), task)
    params = started(model.objective, getkey())["params"]
    chex.assert_trees_all_equal(
        vectors(model, params, {}, getkey()), vectors(model, params, {}, getkey())
    )
    users, items = vectors(model, params, {}, getkey())
    assert (users.shape, items.shape) == ((N_USERS, 4), (N_ITEMS, 4))
