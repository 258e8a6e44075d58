"""GRCN, and the direction of its routing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.graphs.sparse import spmm
from mmjax.models.common.task import Task
from mmjax.models.multimodal import grcn
from mmjax.models.multimodal.grcn import GRCN, GRCNConfig, attend
from tests.models.conftest import N_ITEMS, N_USERS, vectors

CONFIG = GRCNConfig(width=4, l2=0.3)


# Compiled: one program is quicker than its operations one by one.
_init = jax.jit(lambda model, key: model.objective.init(key))
_loss = jax.jit(lambda model, *args: model.objective.loss(*args))
_predict = jax.jit(lambda model, *args: vectors(model, *args))


def _start(config, task, key):
    model = grcn.build(config, task)
    return model, _init(model, key)["params"]


def _nodes(config, task, params):
    features = task.content(config.modalities, normalise=config.normalise)
    forward = jax.jit(GRCN(config, *task.sizes).apply)
    return forward({"params": params}, features, task.adjacency(), task.one_way("users"))


def toy():
    """One user with two of three items, whose content is the unit vectors and a mixture."""
    content = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], np.float32)
    return Task(np.array([[0, 0], [0, 1]]), 1, 3, {"text": content})


def _toy_params(preference):
    return {
        "id_embedding": jnp.array([[1.0, 2.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]),
        "text_confidence": jnp.array([[0.5], [2.0], [-1.0], [1.0]]),
        "text_preference": jnp.array([preference]),
        "text": {"kernel": jnp.eye(2), "bias": jnp.zeros(2)},
    }


def test_one_round_of_routing_by_hand():
    config = GRCNConfig(width=2, routing=1)
    # p = (0.6, 0.8): the logits of the two items are 0.6 and 0.8.
    routed = _nodes(config, toy(), _toy_params([3.0, 4.0])).routed[0][0]
    a = np.exp([0.6, 0.8]) / np.exp([0.6, 0.8]).sum()
    p = np.array([0.6 + a[0], 0.8 + a[1]])
    assert_allclose(routed, p / np.linalg.norm(p), rtol=1e-5)
    assert_allclose(a, [0.450166, 0.549834], rtol=1e-5)


def test_the_official_flow_never_moves_a_preference():
    params = _toy_params([1.0, 0.0])
    official = GRCNConfig(width=2, official=True)
    assert_allclose(_nodes(official, toy(), params).routed[0], [[1.0, 0.0]], atol=1e-6)
    moved = _nodes(GRCNConfig(width=2), toy(), params).routed[0]
    assert moved[0, 1] > 0.3
    # It computes what no rounds at all compute.
    none = _nodes(GRCNConfig(width=2, routing=0), toy(), params)
    chex.assert_trees_all_equal(_nodes(official, toy(), params), none)


def test_messages_from_users_to_items_leave_users_alone():
    """Why the released flow does nothing: its messages end in items only."""
    task = toy()
    x = jnp.array([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    backwards = attend(task.one_way("items"), x)[1]
    assert_array_equal(backwards[0], [0.0, 0.0])
    assert_allclose(backwards[1:], [[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert np.abs(attend(task.one_way("users"), x)[1][0]).min() > 0


def test_the_refined_graph_by_hand():
    """No routing, p = (1, 0): attention 1 towards items, softmax(1, 0) towards the user."""
    nodes = _nodes(GRCNConfig(width=2, routing=0), toy(), _toy_params([1.0, 0.0]))
    a = np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum()
    # Edges by receiver: items 0 and 1 into the user, the user into item 0, into item 1. The
    # sender's confidence weighs an edge; item 1's is negative, so the edge is cut.
    weights = [a[0] * 2.0, 0.0, 0.5, 0.5]
    assert_allclose(nodes.weights, weights, rtol=1e-5)
    ids = np.array([[1.0, 2.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    ids /= np.linalg.norm(ids, axis=1, keepdims=True)
    matrix = np.zeros((4, 4))
    matrix[[0, 0, 1, 2], [1, 2, 0, 0]] = weights
    total = ids + matrix @ ids + matrix @ matrix @ ids
    assert_allclose(nodes.final[:, :2], total, atol=1e-5)
    assert_allclose(nodes.final[0, 2:], [1 + a[0], a[1]], rtol=1e-5)
    assert_allclose(nodes.final[1, 2:], [2.0, 0.0], atol=1e-6)
    assert_allclose(nodes.final[3, 2:], [0.6, 0.8], atol=1e-6)


def test_attention_over_what_a_node_reads_sums_to_one(task, getkey):
    graph = task.adjacency()
    x = jax.random.normal(getkey(), (N_USERS + N_ITEMS, 3))
    weights, received = attend(graph, x)
    sums = spmm(graph, jnp.ones((N_USERS + N_ITEMS, 1)), weights)[:, 0]
    lonely = [5, N_USERS + 4]
    assert_allclose(np.delete(sums, lonely), np.ones(9), rtol=1e-6)
    assert_array_equal(received[jnp.array(lonely)], np.zeros((2, 3)))


def test_an_edge_has_the_vote_of_its_most_confident_modality(task, getkey):
    _, params = _start(CONFIG, task, getkey())
    for name in ("text_confidence", "image_confidence"):
        params[name] = jax.random.normal(getkey(), (N_USERS + N_ITEMS, 1))
    both = _nodes(CONFIG, task, params).weights
    alone = []
    for name in ("text", "image"):
        config = GRCNConfig(**CONFIG.__dict__ | {"modalities": (name,)})
        alone.append(_nodes(config, task, params))
    assert_allclose(both, jnp.maximum(alone[0].weights, alone[1].weights), atol=1e-6)
    assert (np.asarray(both) == 0).any() and (np.asarray(both) > 0).any()


def test_the_order_of_the_modalities_does_not_matter(task, getkey):
    _, params = _start(CONFIG, task, getkey())
    turned = GRCNConfig(**CONFIG.__dict__ | {"modalities": ("image", "text")})
    weights = _nodes(CONFIG, task, params).weights
    assert_allclose(weights, _nodes(turned, task, params).weights, atol=1e-6)
    features = task.content()
    eager = GRCN(CONFIG, *task.sizes).apply(
        {"params": params}, features, task.adjacency(), task.one_way("users")
    )
    assert_allclose(weights, eager.weights, atol=1e-6)
    assert_allclose(_nodes(CONFIG, task, params).final, eager.final, atol=1e-5)


def test_loss_by_its_definition(task, rows, getkey):
    model, p = _start(CONFIG, task, getkey())
    value, aux = _loss(model, p, {}, rows, getkey())
    users, items = _predict(model, p, {}, getkey())
    assert users.shape == (N_USERS, 12) and items.shape == (N_ITEMS, 12)
    u, i, j = rows["user"][:3], rows["item"][:3], rows["negatives"][:3, 0]
    rank = jax.nn.softplus(-(users[u] * (items[i] - items[j])).sum(-1)).mean()
    ids = p["id_embedding"]
    norms = jnp.square(ids[u]).mean() + jnp.square(ids[N_USERS + jnp.stack([i, j])]).mean()
    norms += sum(jnp.square(p[f"{m}_preference"][u]).mean() for m in ("text", "image"))
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-5)
    assert_allclose(value, rank + 0.3 * norms, rtol=1e-5)


def test_whole_tables_can_be_penalised_besides(task, rows, getkey):
    model, p = _start(CONFIG, task, getkey())
    more, _ = _start(
        GRCNConfig(**CONFIG.__dict__ | {"penalised_tables": ("image",)}), task, getkey()
    )
    values = [_loss(o, p, {}, rows, getkey())[0] for o in (model, more)]
    extra = 0.3 * jnp.square(p["image_preference"]).mean()
    assert_allclose(values[1] - values[0], extra, rtol=1e-3)


def test_gradient_is_finite_and_reaches_everything(task, rows, getkey):
    model, p = _start(CONFIG, task, getkey())
    f = jax.jit(jax.grad(lambda p, o: o.objective.loss(p, {}, rows, jax.random.key(0))[0]))
    grads = f(p, model)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0, path


def test_the_table_gradients_need_no_scatter_but_the_batch_rows(task, rows, getkey):
    """Propagation and attention only read; the batch's reads of `final` are what scatters."""
    model, p = _start(CONFIG, task, getkey())
    key = getkey()

    def total(p, model):
        users, items = vectors(model, p, {}, key)
        return jnp.square(users).sum() + jnp.square(items).sum()

    program = jax.jit(jax.grad(total)).lower(p, model).as_text()
    scatters = program.count('"stablehlo.scatter"')
    # The largest logit of a node is found by a scatter-max on CPU, once for each attention.
    assert scatters <= 2 * (CONFIG.routing + 1)


def test_a_missing_modality_is_named(task):
    with pytest.raises(ValueError, match=r"\['audio'\] are not among"):
        grcn.build(GRCNConfig(modalities=("audio",)), task)
