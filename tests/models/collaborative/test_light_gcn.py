"""LightGCN and BPR-MF."""

import chex
import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import BPRMFConfig, LightGCNConfig
from tests.models.conftest import N_ITEMS, N_USERS, vectors
from tests.starts import started

CONFIG = LightGCNConfig(width=4, hops=2, l2=0.3)


def _gcn(graphs, **changes):
    config = LightGCNConfig(**{**CONFIG.__dict__, **changes})
    return light_gcn.build_from_graph(config, graphs[False], N_USERS, N_ITEMS)


def test_without_hops_it_is_matrix_factorisation(task, graphs, rows, getkey):
    gcn = _gcn(graphs, hops=0)
    mf = light_gcn.build_bpr_mf(BPRMFConfig(width=4, l2=0.3), task)
    params = started(gcn.objective, getkey())["params"]
    chex.assert_trees_all_equal_shapes(params, started(mf.objective, getkey())["params"])
    key = getkey()
    assert_allclose(
        gcn.objective.loss(params, {}, rows, key)[0], mf.objective.loss(params, {}, rows, key)[0]
    )
    chex.assert_trees_all_close(vectors(gcn, params, {}, key), vectors(mf, params, {}, key))


def test_loss_by_its_definition(graphs, rows, getkey):
    params = started(_gcn(graphs).objective, getkey())["params"]
    model = _gcn(graphs)
    value, aux = model.objective.loss(params, {}, rows, getkey())
    users, items = vectors(model, params, {}, getkey())
    u, i, j = rows["user"][:3], rows["item"][:3], rows["negatives"][:3, 0]
    margin = (users[u] * (items[i] - items[j])).sum(-1)
    rank = jax.nn.softplus(-margin).mean()
    u0, i0 = params["user_embedding"], params["item_embedding"]
    norms = sum(jnp.linalg.norm(x) for x in (u0[u], i0[i], i0[j])) / 3
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-5)
    assert_allclose(value, rank + 0.3 * norms, rtol=1e-5)


def test_the_penalty_scales_with_the_embeddings_and_not_with_their_square(graphs, rows, getkey):
    model, params = _gcn(graphs), started(_gcn(graphs).objective, getkey())["params"]
    key = getkey()
    one = model.objective.loss(params, {}, rows, key)[1].metrics["norms"]
    two = model.objective.loss(jax.tree.map(lambda x: 2 * x, params), {}, rows, key)[1].metrics[
        "norms"
    ]
    assert_allclose(two, 2 * one, rtol=1e-5)


def test_one_user_one_item_by_hand():
    from mmjax.blocks.graphs.graph import bipartite, normalise
    from mmjax.blocks.graphs.sparse import operator

    graph = operator(normalise(bipartite(jnp.array([[0, 0]]).__array__(), 1, 1)))
    model = light_gcn.build_from_graph(LightGCNConfig(width=2, hops=1), graph, 1, 1)
    params = {
        "user_embedding": jnp.array([[1.0, 2.0]]),
        "item_embedding": jnp.array([[3.0, -4.0]]),
    }
    users, items = vectors(model, params, {}, jax.random.key(0))
    assert_allclose(users, [[2.0, -1.0]], atol=1e-6)
    assert_allclose(items, users, atol=1e-6)


@pytest.mark.parametrize("uniform", [True, False])
def test_tables_are_initialised_apart(uniform, getkey):
    network = light_gcn.Embeddings(4000, 10, 64, uniform)
    params = network.init(getkey())["params"]
    assert_allclose(params["user_embedding"].std(), (2 / 4064) ** 0.5, rtol=0.02)
    assert_allclose(params["item_embedding"].std(), (2 / 74) ** 0.5, rtol=0.15)
