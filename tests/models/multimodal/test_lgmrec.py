"""LGMRec: local and global vectors, and what is drawn."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import spmm
from mmjax.blocks.losses.pairwise import info_nce
from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import LightGCNConfig
from mmjax.models.multimodal import lgmrec
from mmjax.models.multimodal.lgmrec import LGMRecConfig
from tests.models.conftest import N_ITEMS, N_USERS, PAIRS, vectors
from tests.starts import started

CONFIG = LGMRecConfig(width=4, hyperedges=3, hyper_hops=2, eval_noise=False)


@pytest.fixture
def fitted(task, getkey):
    """A model and parameters that are far from zero."""
    model = lgmrec.build(CONFIG, task)
    return model, jax.tree.map(lambda x: 3 * x, started(model.objective, getkey())["params"])


def _forward(task, params, **options):
    network = lgmrec.LGMRec(CONFIG, *task.sizes, ("image", "text"))
    return network.apply(
        {"params": params}, *lgmrec.build(CONFIG, task).retriever.index.args[0], **options
    )


def test_vectors_by_their_definition(task, fitted, getkey):
    model, params = fitted
    a = np.zeros((N_USERS, N_ITEMS), np.float32)
    a[PAIRS[:, 0], PAIRS[:, 1]] = 1
    mean = a / np.maximum(a.sum(1, keepdims=True), 1)
    ids = jnp.concatenate([params["ids"]["user_embedding"], params["ids"]["item_embedding"]])
    ids = lightgcn(task.adjacency(), ids, layers=2)
    local, total = ids, jnp.zeros_like(ids)
    for name, x in task.content().items():
        z = x @ params[f"linear_{name}"]
        z = jnp.concatenate([mean @ z, z])
        local += l2_normalise(spmm(task.adjacency(), spmm(task.adjacency(), z)))
        assign = x @ params[f"assign_{name}"]
        users, items = (jax.nn.softmax(h / 0.2, axis=1) for h in (a @ assign, assign))
        e = ids[N_USERS:]
        for _ in range(2):
            edges = items.T @ e
            e = items @ edges
        # What the block leaves out: sums over items instead of means.
        total += jnp.concatenate([users @ edges, e])
    expected = local + 0.3 * l2_normalise(total)
    got = jnp.concatenate(vectors(model, params, {}, getkey()))
    assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_evaluation_is_fixed_by_its_key_or_draws_nothing(task, fitted, getkey):
    quiet, params = fitted
    one, two = jax.random.key(1), jax.random.key(2)
    chex.assert_trees_all_equal(vectors(quiet, params, {}, one), vectors(quiet, params, {}, two))
    noisy = lgmrec.build(dataclasses.replace(CONFIG, eval_noise=True), task)
    first = vectors(noisy, params, {}, one)
    chex.assert_trees_all_equal(first, vectors(noisy, params, {}, jax.random.key(1)))
    assert jnp.abs(first[0] - vectors(noisy, params, {}, two)[0]).max() > 1e-3


def test_training_draws_noise_and_dropout(task, rows, fitted):
    _, params = fitted
    streams = {"gumbel": jax.random.key(1), "dropout": jax.random.key(2)}
    plain = _forward(task, params, noise=False)[0]
    dropped = _forward(task, params, noise=False, train=True, rngs=streams)[0]
    noisy = _forward(task, params, rngs=streams)[0]
    assert jnp.abs(plain - dropped).max() > 1e-3
    assert jnp.abs(plain - noisy).max() > 1e-3


def test_terms_by_their_definition(task, rows, fitted):
    _, params = fitted
    # The same dropout and noise as the model draws cannot be had from outside; without both,
    # the loss is what a network without dropout gives at a temperature that drowns the noise.
    calm = dataclasses.replace(CONFIG, dropout=0.0, temperature=1e6, contrast=0.5, l2=0.2)
    model = lgmrec.build(calm, task)
    value, aux = model.objective.loss(params, {}, rows, jax.random.key(4))
    network = lgmrec.LGMRec(calm, *task.sizes, ("image", "text"))
    final, hyper = network.apply({"params": params}, *model.retriever.index.args[0], noise=False)
    user, item, other = (
        ids[:3] for ids in (rows["user"], N_USERS + rows["item"], N_USERS + rows["negatives"][:, 0])
    )
    margin = (final[user] * (final[item] - final[other])).sum(1)
    assert_allclose(aux.metrics["rank"], jax.nn.softplus(-margin).mean(), rtol=1e-4)
    norms = sum(jnp.linalg.norm(final[x]) for x in (user, item, other)) / 3
    assert_allclose(aux.metrics["norms"], 0.2 * norms, rtol=1e-4)
    one, two = hyper.values()
    nce = info_nce(one[user], two[:N_USERS], temperature=1e6, positive=user).sum()
    nce += info_nce(one[item], two[N_USERS:], temperature=1e6, positive=item - N_USERS).sum()
    assert_allclose(aux.metrics["contrast"], 0.5 * nce, rtol=1e-4)
    assert_allclose(value, sum(aux.metrics.values()), rtol=1e-6)


def test_without_content_and_hyperedges_it_is_light_gcn(task, rows, getkey):
    model = lgmrec.build(dataclasses.replace(CONFIG, alpha=0.0, contrast=0.0), task)
    params = started(model.objective, getkey())["params"]
    params = {
        n: x * 0 if n.startswith("linear") else x for n, x in params.items() if n != "ids"
    } | {"ids": params["ids"]}
    base = light_gcn.build(LightGCNConfig(width=4, hops=2, l2=0.0), task)
    key = getkey()
    chex.assert_trees_all_close(
        vectors(model, params, {}, key), vectors(base, params["ids"], {}, key), atol=1e-6
    )


@pytest.mark.parametrize("names", [("text",), ("image", "text")])
def test_the_gradient_is_finite_and_reaches_all_parameters(task, rows, getkey, names):
    model = lgmrec.build(dataclasses.replace(CONFIG, modalities=names), task)
    params = started(model.objective, getkey())["params"]
    assert {n[7:] for n in params if n.startswith("assign")} == set(names)
    f = jax.value_and_grad(
        lambda p: model.objective.loss(p, {}, rows, jax.random.key(0)), has_aux=True
    )
    (_, aux), gradient = f(params)
    assert (aux.metrics["contrast"] > 0) == (len(names) > 1)
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(g).all(), path
        assert jnp.abs(g).max() > 0, path


def test_the_earlier_modality_is_the_anchor_under_jit_too(task, rows, fitted):
    """A dict that goes through jit comes out sorted."""
    params, found = fitted[1], []

    def contrast(model):
        return model.objective.loss(params, {}, rows, jax.random.key(4))[1].metrics["contrast"]

    for names in (("text", "image"), ("image", "text"), ()):
        calm = dataclasses.replace(CONFIG, dropout=0.0, temperature=0.5, modalities=names)
        model = lgmrec.build(calm, task)
        found.append(contrast(model))
        assert_allclose(jax.jit(contrast)(model), found[-1], rtol=1e-4)
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_a_user_without_items_belongs_to_all_hyperedges_alike(task, fitted):
    _, params = fitted
    _, hyper = _forward(task, params, noise=False)
    assert np.isfinite(np.concatenate([*hyper.values()])).all()
    counts = lgmrec.build(CONFIG, task).retriever.index.args[0][-1][:, 0]
    assert_array_equal(counts, [2, 2, 1, 2, 2, 0] + [1] * N_ITEMS)
