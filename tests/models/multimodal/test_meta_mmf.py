"""MetaMMF: the acceptance checks that concern the whole model."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.fusion.item_specific import CP, cp_tensor
from mmjax.blocks.graphs.graph import normalise, weighted_graph
from mmjax.blocks.graphs.sparse import operator
from mmjax.models.common.task import Task
from mmjax.models.multimodal import meta_mmf
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from tests.models.conftest import N_ITEMS, N_USERS, PAIRS, vectors

SMALL = MetaMMFConfig(
    widths=(6, 3), id_width=3, meta_width=2, rank=4, hidden_dropout=0.0, output_dropout=0.0
)
COLD = 4
INIT = jax.jit(lambda model, key: model.objective.init(key))
PREDICT = jax.jit(lambda model, params, key: vectors(model, params, {}, key))
LOSS = jax.jit(lambda model, params, rows, key: model.objective.loss(params, {}, rows, key))
GRAD = jax.jit(
    lambda model, params, rows, key: jax.value_and_grad(
        lambda p: model.objective.loss(p, {}, rows, key)[0]
    )(params)
)
MOVIELENS = (55_485, 5_986, 2_276)


def _config(**changes):
    return MetaMMFConfig(**{**SMALL.__dict__, **changes})


@functools.cache
def _made(task, **changes):
    """Objective and first parameters; the same ones wherever the same are asked for."""
    model = meta_mmf.build(_config(**changes), task)
    return model, INIT(model, jax.random.key(0))["params"]


def _vectors(model, params):
    return PREDICT(model, params, jax.random.key(0))


def _at_movielens(**changes):
    """Abstract parameters and inputs of the model at MovieLens' size."""
    n_users, n_items, width = MOVIELENS
    network = meta_mmf.MetaMMF(MetaMMFConfig(**changes), n_users, n_items)
    none = np.zeros(0, np.int32)
    graph = weighted_graph(none, none, np.zeros(0), n_users + n_items)
    inputs = (
        jax.ShapeDtypeStruct((n_items, width), jnp.float32),
        operator(normalise(graph, "left")) if network.config.head == "gcn" else None,
        jax.ShapeDtypeStruct((n_items,), jnp.bool_),
    )
    return network, inputs, jax.eval_shape(network.init, jax.random.key(0), *inputs)


def _count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def test_parameter_count_of_movielens():
    params = _at_movielens()[2]["params"]
    fusion = params["fusion"]
    assert _count({k: v for k, v in fusion.items() if "extractor" in k}) == 5_193_837
    assert _count({k: v for k, v in fusion.items() if "extractor" not in k}) == 3_088_768
    assert params["item_embedding"].shape == (5_986, 32)
    assert params["user_embedding"].shape == (55_485, 64)
    assert _count([params["sage_0"], params["sage_1"]]) == 16_512
    assert _count(params) == 5_193_837 + 3_088_768 + 5_986 * 32 + 55_485 * 64 + 16_512


def test_forward_pass_at_movielens_size_stays_below_a_gigabyte():
    """The weights of all items would take 56 GB in the first layer alone."""
    network, inputs, variables = _at_movielens(head="mf")
    compiled = jax.jit(network.apply).lower(variables, *inputs).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1e9


@pytest.mark.parametrize(
    "dynamic, head", [("cp", "gcn"), ("official", "mf"), ("full", "mf"), ("none", "gcn")]
)
def test_everything_that_should_learn_does(task, rows, head, dynamic):
    model, params = _made(task, head=head, dynamic=dynamic)
    value, grads = GRAD(model, params, rows, jax.random.key(1))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_loss_by_its_definition(task, rows):
    model, params = _made(task, head="mf")
    rows = {**rows, "negatives": jnp.array([[3, 4], [4, 0], [1, 2], [0, 0]])}
    users, items = _vectors(model, params)
    u, i = users[rows["user"][:3]], items[rows["item"][:3]]
    margins = jnp.einsum("bd,bkd->bk", u, i[:, None] - items[rows["negatives"][:3]])
    value, aux = LOSS(model, params, rows, jax.random.key(1))
    assert_allclose(value, -jnp.log(jax.nn.sigmoid(margins)).mean(), rtol=1e-5)
    assert_allclose(aux.metrics["rank"], value)


def test_by_its_equations_in_numpy(task):
    model, params = _made(task)
    p = jax.tree.map(np.asarray, params)
    f = p["fusion"]
    x = np.concatenate([task.features[n] for n in ("text", "image")], 1)
    hidden = np.maximum(x @ f["extractor_hidden"]["kernel"] + f["extractor_hidden"]["bias"], 0)
    s = hidden @ f["extractor"]["kernel"] + f["extractor"]["bias"]
    fused = np.zeros((N_ITEMS, 3))
    for i in range(N_ITEMS):
        h = x[i]
        for n in range(2):
            factors = CP(f[f"rows_{n}"], f[f"columns_{n}"], f[f"modes_{n}"])
            tensor = np.asarray(cp_tensor(CP(*map(jnp.asarray, factors))))
            h = h @ (f[f"static_{n}"] + np.einsum("k,kpq->pq", s[i], tensor))
            h = np.where(h > 0, h, 0.01 * h) if n == 0 else h
        fused[i] = h
    nodes = np.concatenate([p["user_embedding"], np.c_[fused, p["item_embedding"]]])
    adjacency = np.zeros((N_USERS + N_ITEMS,) * 2)
    adjacency[PAIRS[:, 0], N_USERS + PAIRS[:, 1]] = 1
    adjacency += adjacency.T
    mean = adjacency / np.maximum(adjacency.sum(1, keepdims=True), 1)
    for name in ("sage_0", "sage_1"):
        c = p[name]
        near = mean @ nodes @ c["neighbours"]["kernel"] + c["neighbours"]["bias"]
        nodes = near + nodes @ c["root"]["kernel"]
        nodes = np.where(nodes > 0, nodes, 0.01 * nodes) if name == "sage_0" else nodes
    got = jnp.concatenate(_vectors(model, params))
    assert_allclose(got, nodes, rtol=1e-3, atol=1e-4)


def test_factors_and_their_tensor_are_the_same_model(task):
    model, params = _made(task)
    fusion = dict(params["fusion"])
    for n in range(2):
        factors = CP(*(fusion.pop(f"{k}_{n}") for k in ("rows", "columns", "modes")))
        fusion[f"tensor_{n}"] = cp_tensor(factors)
    full, shapes = _made(task, dynamic="full")
    whole = {**params, "fusion": fusion}
    chex.assert_trees_all_equal_shapes(whole, shapes)
    chex.assert_trees_all_close(_vectors(full, whole), _vectors(model, params), atol=1e-5)


def test_static_ablation_is_a_perceptron_without_extractor(task):
    model, params = _made(task, head="mf", dynamic="none", id_width=0)
    assert set(params["fusion"]) == {"static_0", "static_1"}
    x = np.concatenate([task.features[n] for n in ("text", "image")], 1)
    hidden = jax.nn.leaky_relu(x @ params["fusion"]["static_0"])
    expected = hidden @ params["fusion"]["static_1"]
    users, items = _vectors(model, params)
    assert_allclose(items, expected, atol=1e-5)
    assert users.shape == (N_USERS, 3)


def test_purely_dynamic_fusion_has_no_static_weights(task):
    _, params = _made(task, static=False)
    assert not any(name.startswith("static") for name in params["fusion"])
    with pytest.raises(ValueError, match="needs a dynamic part"):
        _made(task, static=False, dynamic="none")


def test_fused_content_has_no_term_across_items(task):
    """With the head mf: equal features, equal content; a change stays with its item."""
    features = {n: x.copy() for n, x in task.features.items()}
    for x in features.values():
        x[1] = x[0]

    def found(features):
        model, params = _made(Task(PAIRS, N_USERS, N_ITEMS, features), head="mf")
        return np.asarray(_vectors(model, params)[1])[:, :3]

    before = found(features)
    assert_array_equal(before[0], before[1])
    features["image"][3] += 1
    after = found(features)
    same = np.arange(N_ITEMS) != 3
    assert_array_equal(after[same], before[same])
    assert not np.allclose(after[3], before[3])


def test_modalities_by_name_and_in_their_order(task):
    _, params = _made(task, modalities=("image",))
    assert params["fusion"]["static_0"].shape == (9, 6)
    model, params = _made(task, modalities=("image", "text"), head="mf")
    turned = meta_mmf.build(_config(modalities=("text", "image"), head="mf"), task)
    one, two = (_vectors(o, params)[1] for o in (model, turned))
    assert not np.allclose(one, two)
    with pytest.raises(ValueError, match="not among the features"):
        _made(task, modalities=("sound",))


def test_features_are_raw_unless_asked(task):
    """Raw features times 7 are other features."""
    scaled = Task(PAIRS, N_USERS, N_ITEMS, {n: 7 * x for n, x in task.features.items()})
    for scale in (False, True):
        model, params = _made(task, normalise=scale)
        one = _vectors(model, params)
        two = _vectors(meta_mmf.build(_config(normalise=scale), scaled), params)
        assert np.allclose(one[1], two[1], atol=1e-4) == scale


def test_cold_items_keep_their_content(task):
    initial, params = _made(task, head="mf")
    zero = meta_mmf.build(_config(head="mf", cold_ids="zero"), task)
    kept, emptied = (np.asarray(_vectors(o, params)[1]) for o in (initial, zero))
    assert_array_equal(kept[:, 3:], params["item_embedding"])
    assert_array_equal(emptied[COLD, 3:], np.zeros(3))
    assert_array_equal(emptied[:, :3], kept[:, :3])
    assert_array_equal(emptied[:COLD], kept[:COLD])
    assert np.abs(emptied[COLD, :3]).min() > 0


def test_a_cold_item_in_the_graph_reads_itself_alone(task):
    model, params = _made(task)
    _, items = _vectors(model, params)
    mf = meta_mmf.build(_config(head="mf"), task)
    h = _vectors(mf, params)[1][COLD]
    for n in (0, 1):
        c = params[f"sage_{n}"]
        h = h @ c["root"]["kernel"] + c["neighbours"]["bias"]
        h = jax.nn.leaky_relu(h) if n == 0 else h
    assert_allclose(items[COLD], h, rtol=1e-4, atol=1e-5)


def test_dropout_of_the_head_in_training_alone(task, rows):
    model, params = _made(task, hidden_dropout=0.5, output_dropout=0.2)
    values = [LOSS(model, params, rows, jax.random.key(s))[0] for s in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    one, two = (PREDICT(model, params, jax.random.key(s)) for s in (0, 1))
    chex.assert_trees_all_equal(one, two)


def test_starts_as_specified(task):
    """The tensor as a matrix k x pq, C as a column: 0.272 for R = 16 and k = 5."""
    width = sum(x.shape[1] for x in task.features.values())
    config = {"widths": (64,), "id_width": 0, "meta_width": 5, "rank": 16}
    _, cp = _made(task, head="mf", **config)
    _, full = _made(task, head="mf", dynamic="full", **config)
    for x, bound in (
        (cp["fusion"]["modes_0"], 0.2722),
        (cp["fusion"]["static_0"], (6 / (width + 64)) ** 0.5),
        (cp["fusion"]["rows_0"], (6 / (width + 16)) ** 0.5),
        (cp["fusion"]["columns_0"], (6 / (16 + 64)) ** 0.5),
        (cp["user_embedding"], (6 / (N_USERS + 64)) ** 0.5),
        (full["fusion"]["tensor_0"], (6 / (5 + width * 64)) ** 0.5),
    ):
        assert 0.9 * bound < np.abs(x).max() <= bound * 1.0001
        assert_allclose(x.std(), bound / 3**0.5, rtol=0.2)
