"""VBPR."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import BPRMFConfig
from mmjax.models.multimodal import vbpr
from mmjax.models.multimodal.vbpr import VBPRConfig
from tests.models.conftest import vectors
from tests.starts import started

CONFIG = VBPRConfig(width=4, content_width=3, l2=0.3)


def test_scores_by_the_definition(task, getkey):
    model = vbpr.build(CONFIG, task)
    params = started(model.objective, getkey())["params"]
    users, items = vectors(model, params, {}, getkey())
    x = task.content()
    w, b = params["project"]["kernel"], params["project"]["bias"]
    visual = np.concatenate([x["image"], x["text"]], axis=1) @ w + b[None]
    gamma, theta = params["user_embedding"][:, :4], params["user_embedding"][:, 4:]
    expected = gamma @ params["item_embedding"].T + theta @ visual.T
    assert_allclose(users @ items.T, expected, rtol=1e-4, atol=1e-6)


def test_without_content_it_is_matrix_factorisation(task, rows, getkey):
    params = started(vbpr.build(CONFIG, task).objective, getkey())["params"]
    params["project"] = jax.tree.map(jnp.zeros_like, params["project"])
    mf = light_gcn.build_bpr_mf(BPRMFConfig(width=4), task)
    users, items = params["user_embedding"][:, :4], params["item_embedding"]
    same = {"user_embedding": users, "item_embedding": items}
    found = vbpr.build(CONFIG, task).objective.loss(params, {}, rows, getkey())[1].metrics["rank"]
    assert_allclose(
        found, mf.objective.loss(same, {}, rows, getkey())[1].metrics["rank"], rtol=1e-5
    )


def test_the_penalty_is_on_the_composed_rows_and_scales_as_a_norm(task, rows, getkey):
    model = vbpr.build(CONFIG, task)
    params = started(model.objective, getkey())["params"]
    key = getkey()
    value, aux = model.objective.loss(params, {}, rows, key)
    users, items = vectors(model, params, {}, key)
    u, i, j = rows["user"][:3], rows["item"][:3], rows["negatives"][:3, 0]
    norms = sum(jnp.linalg.norm(x) for x in (users[u], items[i], items[j])) / 3
    assert_allclose(aux.metrics["norms"], norms, rtol=1e-5)
    assert_allclose(value, aux.metrics["rank"] + 0.3 * norms, rtol=1e-5)
    doubled = model.objective.loss(jax.tree.map(lambda x: 2 * x, params), {}, rows, key)[1]
    assert_allclose(doubled.metrics["norms"], 2 * norms, rtol=1e-5)


def test_gradient_reaches_everything_and_no_row_that_does_not_count(task, rows, getkey):
    model = vbpr.build(CONFIG, task)
    params = started(model.objective, getkey())["params"]
    key = getkey()

    def loss(params, rows):
        return model.objective.loss(params, {}, rows, key)[0]

    grads = jax.grad(loss)(params, rows)
    for leaf in jax.tree.leaves(grads):
        assert np.isfinite(leaf).all()
        assert np.asarray(leaf).any()
    fewer = {name: x[:3] for name, x in rows.items()}
    chex.assert_trees_all_close(jax.grad(loss)(params, fewer), grads, atol=1e-6)


@pytest.mark.parametrize("modalities", [("text",), ("text", "image"), ("image", "text")])
def test_modalities_in_any_order_eager_and_compiled(task, modalities, getkey):
    model = vbpr.build(VBPRConfig(modalities, width=4), task)
    params = started(model.objective, getkey())["params"]
    width = sum(task.features[name].shape[1] for name in modalities)
    assert params["project"]["kernel"].shape == (width, 64)
    key = getkey()
    compiled = jax.jit(lambda o, p: vectors(o, p, {}, key))(model, params)
    chex.assert_trees_all_close(vectors(model, params, {}, key), compiled, atol=1e-6)


def test_unknown_modality_is_refused(task):
    with pytest.raises(ValueError, match="audio"):
        vbpr.build(VBPRConfig(("audio",)), task)
