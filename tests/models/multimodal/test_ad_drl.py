"""AD-DRL: bounds, factors that keep apart, losses by hand, steering and explanations."""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.losses.disentangle import factor_scores
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.models.multimodal.ad_drl.objective import build, explain, steer
from tests.models.conftest import N_ITEMS, N_USERS

COLOUR, SIZE = np.array([0, 2, 1, 2, 0]), np.array([1, 0, 1, 1, 0])
CONFIG = ADDRLConfig(factor_width=4, dropout=0.0, inter=0.3, values=2.0, reg=0.7)
FACTORS = 3
LOW, HIGH = math.log1p(math.exp(-1)), math.log1p(math.exp(1))


def _value(params, objective, batch, key):
    return objective.loss(params, {}, batch, key)[0]


_init = jax.jit(lambda objective, key: objective.init(key)["params"])
_loss = jax.jit(lambda objective, *inputs: objective.loss(inputs[0], {}, *inputs[1:]))
_slopes = jax.jit(jax.value_and_grad(_value))


@pytest.fixture(scope="module")
def labelled(task):
    return dataclasses.replace(
        task, labels={"colour": COLOUR.astype(np.int32), "size": SIZE.astype(np.int32)}
    )


@pytest.fixture
def batch(rows):
    return {**rows, "negatives": jnp.array([[3, 2], [4, 0], [1, 2], [0, 0]])}


@pytest.fixture(scope="module")
def made(labelled):
    """The objective of CONFIG and its first parameters, which its ablations share."""
    objective = build(CONFIG, labelled)
    return objective, _init(objective, jax.random.key(7))


def make(labelled, key, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    objective = build(config, labelled)
    return config, objective, _init(objective, key)


def changed(labelled, **changes):
    return build(dataclasses.replace(CONFIG, **changes), labelled)


def zeroed(params, prefix):
    return {
        k: jax.tree.map(jnp.zeros_like, x) if k.startswith(prefix) else x for k, x in params.items()
    }


def test_scores_are_bounded_and_made_of_the_factors(labelled, made, getkey):
    objective, params = made
    users, items = objective.predict(params, {}, getkey())
    assert users.shape == (N_USERS, FACTORS * 4) and items.shape == (N_ITEMS, FACTORS * 4)
    scores = objective.score(users, items)
    assert ((scores > FACTORS * LOW) & (scores < FACTORS * HIGH)).all()
    told = explain(CONFIG, labelled, params)
    terms = factor_scores(told.users[:, None], told.items.fused[None])
    assert_allclose(terms.sum(-1), scores, atol=1e-6)
    assert ((terms >= LOW) & (terms <= HIGH)).all()


def test_the_length_of_a_users_factor_does_not_matter(labelled, made, getkey):
    objective, params = made
    longer = params["user_embedding"].at[2, 4:8].multiply(5.0)
    key = getkey()
    before, after = (
        objective.score(*objective.predict({**params, "user_embedding": table}, {}, key))
        for table in (params["user_embedding"], longer)
    )
    assert_allclose(after, before, atol=1e-6)


def test_classifiers_that_know_nothing(labelled, made, batch, getkey):
    objective, params = made
    params = zeroed(zeroed(params, "which"), "values")
    metrics = _loss(objective, params, batch, getkey())[1].metrics
    # Four sources, once for the positive and once for the mean of the negatives.
    assert_allclose(metrics["intra"], 2 * 4 * 3 * math.log(3), rtol=1e-5)
    assert_allclose(metrics["values"], 2 * (math.log(3) + math.log(2)), rtol=1e-5)
    _, objective, params = make(labelled, getkey(), rest=2)
    metrics = objective.loss(zeroed(params, "which"), {}, batch, getkey())[1].metrics
    assert_allclose(metrics["intra"], 2 * 22.180710, rtol=1e-5)


def test_loss_by_its_definition(labelled, made, batch, getkey):
    objective, params = made
    value, aux = _loss(objective, params, batch, getkey())
    m = aux.metrics
    scores = objective.score(*objective.predict(params, {}, getkey()))
    u, i, j = (batch[n][:3] for n in ("user", "item", "negatives"))
    hardest = jnp.take_along_axis(scores[u], j, 1).max(1)
    rank = jax.nn.softplus(hardest - scores[u, i]).mean()
    assert_allclose(m["rank"], 1024 * rank, rtol=1e-5)
    views = explain(CONFIG, labelled, params).items.views
    squares = jnp.square(views).sum((1, 2, 3))
    norms = jnp.square(params["user_embedding"][u]).sum(1) + squares[i] + squares[j].sum(1)
    assert_allclose(m["reg"], 0.5 * norms.mean(), rtol=1e-5)
    total = m["rank"] + m["intra"] + 0.3 * m["inter"] + 2.0 * m["values"] + 0.7 * m["reg"]
    assert_allclose(value, total, rtol=1e-6)


def test_the_balance_does_not_depend_on_the_size_of_the_batch(labelled, made, batch, getkey):
    objective, params = made
    twice = {n: jnp.concatenate([x, x]) for n, x in batch.items()}
    key = getkey()
    once = _loss(objective, params, batch, key)[0]
    assert_allclose(_loss(objective, params, twice, key)[0], once, rtol=1e-5)
    summed = changed(labelled, rank_rows=0)
    three = changed(labelled, rank_rows=3)
    assert_allclose(
        _loss(summed, params, batch, key)[0], _loss(three, params, batch, key)[0], rtol=1e-5
    )


@pytest.mark.parametrize("name", ["intra", "inter", "values", "reg"])
def test_a_weight_of_zero_takes_a_loss_away(labelled, made, batch, getkey, name):
    objective, params = made
    ablated = changed(labelled, **{name: 0.0})
    key = getkey()
    value, aux = _loss(objective, params, batch, key)
    missing = getattr(CONFIG, name) * aux.metrics[name]
    assert missing > 0
    assert_allclose(_loss(ablated, params, batch, key)[0], value - missing, rtol=1e-5)


def item_slopes(objective, params, batch, key):
    slopes = _slopes(params, objective, batch, key)[1]
    return jnp.abs(slopes["item_embedding"]).sum(1) > 0


def test_ranking_pushes_the_hardest_negative_only(labelled, made, getkey):
    key, off = getkey(), {"intra": 0.0, "inter": 0.0, "values": 0.0, "reg": 0.0}
    (full, params), objective = made, changed(labelled, **off)
    batch = {
        "user": jnp.array([1]),
        "item": jnp.array([0]),
        "negatives": jnp.array([[2, 3, 4]]),
        "where": jnp.array([True]),
    }
    scores = objective.score(*objective.predict(params, {}, key))[1]
    hardest = 2 + int(scores[2:].argmax())
    assert set(np.flatnonzero(item_slopes(objective, params, batch, key))) == {0, hardest}
    assert set(np.flatnonzero(item_slopes(full, params, batch, key))) == {0, 2, 3, 4}


def test_names_of_classes_do_not_matter(labelled, made, batch, getkey):
    objective, params = made
    order = np.array([2, 0, 1])
    renamed = {**labelled.labels, "colour": order[COLOUR].astype(np.int32)}
    other = build(CONFIG, dataclasses.replace(labelled, labels=renamed))
    head = jax.tree.map(lambda x: x[..., np.argsort(order)], params["values_colour"])
    key = getkey()
    value = _loss(objective, params, batch, key)[0]
    assert_allclose(
        _loss(other, {**params, "values_colour": head}, batch, key)[0], value, rtol=1e-6
    )
    assert abs(_loss(other, params, batch, key)[0] - value) > 1e-4


def test_rows_that_do_not_count_change_nothing(labelled, made, batch, getkey):
    objective, params = made
    other = {
        "user": batch["user"].at[3].set(5),
        "item": batch["item"].at[3].set(1),
        "negatives": batch["negatives"].at[3].set(3),
        "where": batch["where"],
    }
    key = getkey()
    one, two = (_slopes(params, objective, b, key) for b in (batch, other))
    chex.assert_trees_all_close(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.multi
def test_devices_agree(labelled, made, batch, getkey):
    """Two rows a device are few enough to be computed one by one, four take the whole catalogue."""
    objective, params, key = changed(labelled, rank_rows=0), made[1], getkey()

    def value_and_grad(b, axis=None):
        return jax.value_and_grad(lambda p: objective.loss(p, {}, b, key, axis)[0])(params)

    shards = {n: x.reshape(2, 2, *x.shape[1:]) for n, x in batch.items()}
    mapped = jax.pmap(
        lambda b: jax.lax.pmean(value_and_grad(b, "data"), "data"),
        axis_name="data",
        devices=jax.devices()[:2],
    )(shards)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[0], mapped), jax.jit(value_and_grad)(batch), rtol=1e-4, atol=1e-4
    )


def test_every_parameter_learns(labelled, made, batch, getkey):
    slopes = _slopes(made[1], changed(labelled, dropout=0.2), batch, getkey())[1]
    for path, x in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(x).all() and (x != 0).any(), jax.tree_util.keystr(path)


def test_steering(labelled, made, getkey):
    objective, params = made
    vectors = objective.predict(params, {}, getkey())
    told = explain(CONFIG, labelled, params)
    terms = factor_scores(told.users[:, None], told.items.fused[None])
    assert_allclose(steer(jnp.ones(3))(*vectors), objective.score(*vectors), rtol=1e-6)
    assert_allclose(steer(jnp.array([0.0, 1, 0]))(*vectors), terms[..., 1], rtol=1e-5)
    doubled = steer(jnp.array([1.0, 1, 2]))(*vectors)
    assert_allclose(doubled - objective.score(*vectors), terms[..., 2], rtol=1e-4)


@pytest.mark.parametrize("double", [False, True])
def test_explanation(labelled, made, getkey, double):
    told = explain(dataclasses.replace(CONFIG, double_softmax=double), labelled, made[1])
    assert told.factors == ("colour", "size", "rest")
    assert told.modalities == ("id", "text", "image")
    assert_allclose(told.items.weights.sum(-1), np.ones((N_ITEMS, FACTORS)), rtol=1e-5)
    assert (jnp.linalg.norm(told.items.fused, axis=-1) <= 1 + 1e-6).all()
    assert_allclose(jnp.linalg.norm(told.users, axis=-1), np.ones((N_USERS, 3)), rtol=1e-5)
    assert told.values["colour"].shape == (N_ITEMS, 3) and told.values["size"].shape == (N_ITEMS, 2)
    assert_allclose(told.values["colour"].sum(1), np.ones(N_ITEMS), rtol=1e-5)


def test_it_learns_the_attribute_values(labelled, made, batch, getkey):
    objective, params = made
    everything = {
        "user": jnp.zeros(5, jnp.int32),
        "item": jnp.arange(5),
        "negatives": jnp.arange(5)[::-1, None],
        "where": jnp.ones(5, bool),
    }
    step = jax.jit(
        lambda p, k: jax.tree.map(
            lambda x, g: x - 0.02 * g,
            p,
            jax.grad(lambda q: objective.loss(q, {}, everything, k)[1].metrics["values"])(p),
        )
    )
    for _ in range(600):
        params = step(params, jax.random.key(0))
    values = explain(CONFIG, labelled, params).values
    assert_array_equal(values["colour"].argmax(1), COLOUR)
    assert_array_equal(values["size"].argmax(1), SIZE)


def test_any_modalities_and_attributes(labelled, made, batch, getkey):
    features = {**labelled.features, "audio": np.ones((N_ITEMS, 2), np.float32)}
    wide = dataclasses.replace(labelled, features=features)
    for changes, shape in (
        ({"attributes": ("size",), "modalities": ("text",)}, (2, 2)),
        ({}, (3, 4)),
        ({"rest": 0}, (2, 4)),
    ):
        objective = build(dataclasses.replace(CONFIG, **changes), wide)
        params = jax.eval_shape(objective.init, getkey())["params"]
        factors, modalities = shape
        assert params["user_embedding"].shape == (N_USERS, factors * 4)
        assert params["attention_in"].shape == (4, modalities)
        value, _ = jax.eval_shape(objective.loss, params, {}, batch, getkey())
        assert value.shape == ()


def test_without_labels_the_factors_are_free(task, batch, getkey):
    config, objective, params = make(task, getkey(), rest=2)
    value, aux = _loss(objective, params, batch, getkey())
    assert aux.metrics["values"] == 0 and np.isfinite(value)
    assert explain(config, task, params).factors == ("rest", "rest")
    with pytest.raises(ValueError, match="no item labels, so set rest"):
        make(task, getkey(), rest=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": ("brand",)}, r"\['brand'\] are not among the item labels"),
        ({"modalities": ("video",)}, r"\['video'\] are not among the features"),
    ],
)
def test_missing_parts_are_named(labelled, made, getkey, changes, message):
    with pytest.raises(ValueError, match=message):
        make(labelled, getkey(), **changes)
