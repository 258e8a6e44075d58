"""SLMRec: the in-batch main loss and the self-supervision for any number of modalities."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.losses.pairwise import info_nce
from mmjax.models.common.task import Task
from mmjax.models.multimodal import slmrec
from mmjax.models.multimodal.slmrec import FineAndCoarse, SLMRecConfig
from tests.models.conftest import N_ITEMS, N_USERS, PAIRS, vectors
from tests.starts import started

CONFIG = SLMRecConfig(width=4, hops=2, ssl=0.7)


def affine(p, x):
    return x @ p["kernel"] + p["bias"][None, :]


def random_like(tree, key):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def test_two_modalities_meet_one_and_three_steps_of_the_chain(getkey):
    ids, a, b = (jax.random.normal(getkey(), (5, 4)) for _ in range(3))
    network = FineAndCoarse()
    p = random_like(network.init(getkey(), ids, [a, b])["params"], getkey())
    (ia, xa), (ib, xb) = network.apply({"params": p}, ids, [a, b])
    g1 = affine(p["chain_0"], ids)
    assert_allclose(ia, g1, atol=1e-5)
    assert_allclose(xa, affine(p["content_0"], a), atol=1e-5)
    g531 = affine(p["chain_1"], affine(p["chain_between"], g1))
    assert_allclose(ib, g531, atol=1e-4)
    assert_allclose(xb, affine(p["content_1"], b), atol=1e-5)
    assert [x.shape[1] for x in (ia, xa, ib, xb)] == [4, 4, 2, 2]


def test_the_chain_grows_with_the_modalities(getkey):
    ids = jax.random.normal(getkey(), (5, 4))
    for count, widths in ((1, [4]), (3, [4, 4, 2]), (4, [4, 4, 4, 2])):
        network = FineAndCoarse()
        p = random_like(network.init(getkey(), ids, [ids] * count)["params"], getkey())
        pairs = network.apply({"params": p}, ids, [ids] * count)
        assert [(a.shape[1], b.shape[1]) for a, b in pairs] == [(w, w) for w in widths]
        x = ids
        for n, (left, right) in enumerate(pairs):
            x = affine(p[f"chain_{n}"], x)
            assert_allclose(left, x, atol=1e-4)
            assert_allclose(right, affine(p[f"content_{n}"], ids), atol=1e-4)


def test_loss_by_its_definition(task, rows, getkey):
    model = slmrec.build(CONFIG, task)
    params = random_like(started(model.objective, getkey())["params"], getkey())
    value, aux = model.objective.loss(params, {}, rows, getkey())

    content = task.content(("image", "text"))
    users, ids = params["ids"]["user_embedding"], params["ids"]["item_embedding"]
    tables = [ids, *(affine(params["content"][f"project_{n}"], x) for n, x in content.items())]
    branches = [lightgcn(task.adjacency(), jnp.concatenate([users, x]), layers=2) for x in tables]
    x = jnp.concatenate(branches, axis=1)
    final_users = affine(params["read_users"], x[:N_USERS])
    final_items = affine(params["read_items"], x[N_USERS:])
    for ours, theirs in zip(
        vectors(model, params, {}, getkey()), (final_users, final_items), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)

    user, item = rows["user"][:3], rows["item"][:3]
    rank = info_nce(final_users[user], final_items[item], temperature=0.2).mean()
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-4)
    id_rows, *others = (b[N_USERS:][item] for b in branches)
    ssl = 0.0
    for a, b in FineAndCoarse().apply({"params": params["fac"]}, id_rows, others):
        ssl -= jnp.diagonal(jax.nn.log_softmax(a @ b.T / CONFIG.ssl_temperature)).mean()
    assert_allclose(aux.metrics["ssl"], 0.7 * ssl, rtol=1e-4)
    assert_allclose(value, rank + 0.7 * ssl, rtol=1e-4)


def test_equal_items_cost_the_logarithm_of_the_rows(task, rows, getkey):
    model = slmrec.build(CONFIG, task)
    params = jax.tree.map(jnp.zeros_like, started(model.objective, getkey())["params"])
    metrics = model.objective.loss(params, {}, rows, getkey())[1].metrics
    assert_allclose(metrics["rank"], jnp.log(3), rtol=1e-6)
    assert_allclose(metrics["ssl"], 0.7 * 2 * jnp.log(3), rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_gradient_is_finite_and_reaches_what_learns(rows, getkey, count):
    rng = np.random.default_rng(0)
    features = {str(n): rng.normal(size=(N_ITEMS, 6)).astype(np.float32) for n in range(count)}
    task = Task(PAIRS, N_USERS, N_ITEMS, features)
    model = slmrec.build(CONFIG, task)
    params = started(model.objective, getkey())["params"]
    gradient = jax.grad(lambda p: model.objective.loss(p, {}, rows, jax.random.key(0))[0])(params)
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(g).all(), path
        # A constant added to all anchors of an in-batch softmax shifts no probability only for
        # candidates' biases, which add the same to all logits of a row.
        if not (path[-2].key.startswith("content_") and path[-1].key == "bias"):
            assert jnp.abs(g).max() > 0, path


def _outputs(model, params, rows):
    key = jax.random.key(0)
    return model.objective.loss(params, {}, rows, key)[0], vectors(model, params, {}, key)


_compiled = jax.jit(_outputs)


def test_the_order_of_the_modalities_is_kept_under_jit(task, rows, getkey):
    """A dict that goes through jit comes out sorted."""
    found = []
    for names in (("text", "image"), ("image", "text"), ()):
        model = slmrec.build(dataclasses.replace(CONFIG, modalities=names), task)
        params = random_like(started(model.objective, getkey())["params"], jax.random.key(1))
        eager, compiled = _outputs(model, params, rows), _compiled(model, params, rows)
        chex.assert_trees_all_close(compiled, eager, rtol=1e-4, atol=1e-5)
        found.append(eager[0])
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_without_features_it_is_refused(task):
    with pytest.raises(ValueError, match="sound"):
        slmrec.build(dataclasses.replace(CONFIG, modalities=("sound",)), task)
    with pytest.raises(ValueError, match="none"):
        slmrec.build(CONFIG, Task(PAIRS, N_USERS, N_ITEMS))
