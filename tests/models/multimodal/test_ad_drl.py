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
from tests.models.conftest import N_ITEMS, N_USERS, vectors

COLOUR, SIZE = np.array([0, 2, 1, 2, 0]), np.array([1, 0, 1, 1, 0])
CONFIG = ADDRLConfig(factor_width=4, dropout=0.0, inter=0.3, values=2.0, l2=0.7)
FACTORS = 3
SCORE = steer(jnp.ones(FACTORS))
LOW, HIGH = math.log1p(math.exp(-1)), math.log1p(math.exp(1))


def _value(params, model, batch, key):
    return model.objective.loss(params, {}, batch, key)[0]


_init = jax.jit(lambda model, key: model.objective.init(key)["params"])
_loss = jax.jit(lambda model, *inputs: model.objective.loss(inputs[0], {}, *inputs[1:]))
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
    model = build(CONFIG, labelled)
    return model, _init(model, jax.random.key(7))


def make(labelled, key, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    model = build(config, labelled)
    return config, model, _init(model, key)


def changed(labelled, **changes):
    return build(dataclasses.replace(CONFIG, **changes), labelled)


def zeroed(params, prefix):
    return {
        k: jax.tree.map(jnp.zeros_like, x) if k.startswith(prefix) else x for k, x in params.items()
    }


def test_scores_are_bounded_and_made_of_the_factors(labelled, made, getkey):
    model, params = made
    users, items = vectors(model, params, {}, getkey())
    assert users.shape == (N_USERS, FACTORS * 4) and items.shape == (N_ITEMS, FACTORS * 4)
    scores = SCORE(users, items)
    assert ((scores > FACTORS * LOW) & (scores < FACTORS * HIGH)).all()
    explanation = explain(CONFIG, labelled, params)
    terms = factor_scores(explanation.users[:, None], explanation.items.fused[None])
    assert_allclose(terms.sum(-1), scores, atol=1e-6)
    assert ((terms >= LOW) & (terms <= HIGH)).all()


def test_the_length_of_a_users_factor_does_not_matter(labelled, made, getkey):
    model, params = made
    longer = params["user_embedding"].at[2, 4:8].multiply(5.0)
    key = getkey()
    before, after = (
        SCORE(*vectors(model, {**params, "user_embedding": table}, {}, key))
        for table in (params["user_embedding"], longer)
    )
    assert_allclose(after, before, atol=1e-6)


def test_classifiers_that_know_nothing(labelled, made, batch, getkey):
    model, params = made
    params = zeroed(zeroed(params, "which"), "values")
    metrics = _loss(model, params, batch, getkey())[1].metrics
    # Four sources, once for the positive and once for the mean of the negatives.
    assert_allclose(metrics["intra"], 2 * 4 * 3 * math.log(3), rtol=1e-5)
    assert_allclose(metrics["values"], 2 * (math.log(3) + math.log(2)), rtol=1e-5)
    _, model, params = make(labelled, getkey(), rest=2)
    metrics = model.objective.loss(zeroed(params, "which"), {}, batch, getkey())[1].metrics
    assert_allclose(metrics["intra"], 2 * 22.180710, rtol=1e-5)


def test_loss_by_its_definition(labelled, made, batch, getkey):
    model, params = made
    value, aux = _loss(model, params, batch, getkey())
    m = aux.metrics
    scores = SCORE(*vectors(model, params, {}, getkey()))
    u, i, j = (batch[n][:3] for n in ("user", "item", "negatives"))
    hardest = jnp.take_along_axis(scores[u], j, 1).max(1)
    rank = jax.nn.softplus(hardest - scores[u, i]).mean()
    assert_allclose(m["rank"], 1024 * rank, rtol=1e-5)
    views = explain(CONFIG, labelled, params).items.views
    squares = jnp.square(views).sum((1, 2, 3))
    norms = jnp.square(params["user_embedding"][u]).sum(1) + squares[i] + squares[j].sum(1)
    assert_allclose(m["l2"], 0.5 * norms.mean(), rtol=1e-5)
    total = m["rank"] + m["intra"] + 0.3 * m["inter"] + 2.0 * m["values"] + 0.7 * m["l2"]
    assert_allclose(value, total, rtol=1e-6)


def test_the_balance_does_not_depend_on_the_size_of_the_batch(labelled, made, batch, getkey):
    model, params = made
    twice = {n: jnp.concatenate([x, x]) for n, x in batch.items()}
    key = getkey()
    once = _loss(model, params, batch, key)[0]
    assert_allclose(_loss(model, params, twice, key)[0], once, rtol=1e-5)
    summed = changed(labelled, rank_rows=0)
    three = changed(labelled, rank_rows=3)
    assert_allclose(
        _loss(summed, params, batch, key)[0], _loss(three, params, batch, key)[0], rtol=1e-5
    )


@pytest.mark.parametrize("name", ["intra", "inter", "values", "l2"])
def test_a_weight_of_zero_takes_a_loss_away(labelled, made, batch, getkey, name):
    model, params = made
    ablated = changed(labelled, **{name: 0.0})
    key = getkey()
    value, aux = _loss(model, params, batch, key)
    missing = getattr(CONFIG, name) * aux.metrics[name]
    assert missing > 0
    assert_allclose(_loss(ablated, params, batch, key)[0], value - missing, rtol=1e-5)


def item_slopes(model, params, batch, key):
    slopes = _slopes(params, model, batch, key)[1]
    return jnp.abs(slopes["item_embedding"]).sum(1) > 0


def test_ranking_pushes_the_hardest_negative_only(labelled, made, getkey):
    key, off = getkey(), {"intra": 0.0, "inter": 0.0, "values": 0.0, "l2": 0.0}
    (full, params), model = made, changed(labelled, **off)
    batch = {
        "user": jnp.array([1]),
        "item": jnp.array([0]),
        "negatives": jnp.array([[2, 3, 4]]),
        "where": jnp.array([True]),
    }
    scores = SCORE(*vectors(model, params, {}, key))[1]
    hardest = 2 + int(scores[2:].argmax())
    assert set(np.flatnonzero(item_slopes(model, params, batch, key))) == {0, hardest}
    assert set(np.flatnonzero(item_slopes(full, params, batch, key))) == {0, 2, 3, 4}


def test_names_of_classes_do_not_matter(labelled, made, batch, getkey):
    model, params = made
    order = np.array([2, 0, 1])
    renamed = {**labelled.labels, "colour": order[COLOUR].astype(np.int32)}
    other = build(CONFIG, dataclasses.replace(labelled, labels=renamed))
    head = jax.tree.map(lambda x: x[..., np.argsort(order)], params["values_colour"])
    key = getkey()
    value = _loss(model, params, batch, key)[0]
    assert_allclose(
        _loss(other, {**params, "values_colour": head}, batch, key)[0], value, rtol=1e-6
    )
    assert abs(_loss(other, params, batch, key)[0] - value) > 1e-4


@pytest.mark.multi
def test_devices_agree(labelled, made, batch, getkey):
    """Two rows a device are few enough to be computed one by one, four take the whole catalogue."""
    model, params, key = changed(labelled, rank_rows=0), made[1], getkey()

    def value_and_grad(b, axis=None):
        return jax.value_and_grad(lambda p: model.objective.loss(p, {}, b, key, axis=axis)[0])(
            params
        )

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
    model, params = made
    found = vectors(model, params, {}, getkey())
    explanation = explain(CONFIG, labelled, params)
    terms = factor_scores(explanation.users[:, None], explanation.items.fused[None])
    assert_allclose(steer(jnp.ones(3))(*found), SCORE(*found), rtol=1e-6)
    assert_allclose(steer(jnp.array([0.0, 1, 0]))(*found), terms[..., 1], rtol=1e-5)
    doubled = steer(jnp.array([1.0, 1, 2]))(*found)
    assert_allclose(doubled - SCORE(*found), terms[..., 2], rtol=1e-4)


@pytest.mark.parametrize("double", [False, True])
def test_explanation(labelled, made, getkey, double):
    explanation = explain(dataclasses.replace(CONFIG, official=double), labelled, made[1])
    assert explanation.factors == ("colour", "size", "rest")
    assert explanation.modalities == ("id", "text", "image")
    assert_allclose(explanation.items.weights.sum(-1), np.ones((N_ITEMS, FACTORS)), rtol=1e-5)
    assert (jnp.linalg.norm(explanation.items.fused, axis=-1) <= 1 + 1e-6).all()
    assert_allclose(jnp.linalg.norm(explanation.users, axis=-1), np.ones((N_USERS, 3)), rtol=1e-5)
    assert explanation.values["colour"].shape == (N_ITEMS, 3) and explanation.values[
        "size"
    ].shape == (N_ITEMS, 2)
    assert_allclose(explanation.values["colour"].sum(1), np.ones(N_ITEMS), rtol=1e-5)


def test_it_learns_the_attribute_values(labelled, made, batch, getkey):
    model, params = made
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
            jax.grad(lambda q: model.objective.loss(q, {}, everything, k)[1].metrics["values"])(p),
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
        model = build(dataclasses.replace(CONFIG, **changes), wide)
        params = jax.eval_shape(model.objective.init, getkey())["params"]
        factors, modalities = shape
        assert params["user_embedding"].shape == (N_USERS, factors * 4)
        assert params["attention_in"].shape == (4, modalities)
        value, _ = jax.eval_shape(model.objective.loss, params, {}, batch, getkey())
        assert value.shape == ()


def test_without_labels_the_factors_are_free(task, batch, getkey):
    config, model, params = make(task, getkey(), rest=2)
    value, aux = _loss(model, params, batch, getkey())
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
