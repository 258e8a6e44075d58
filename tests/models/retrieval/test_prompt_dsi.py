"""PromptDSI: one pass is two, no query depends on another, what is frozen stays bit for bit."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.encoders.text.bert import Bert, BertConfig
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval import prompt_dsi
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.models.retrieval.prompt_dsi.stages import (
    TRAINED,
    join,
    new_pool,
    new_rows,
    prompt_stage,
    tuning_stage,
)
from mmjax.retriever import exclusion, index_of
from tests.starts import started

ENCODER = Bert(
    BertConfig(vocabulary=13, width=8, layers=2, heads=2, hidden=12, positions=5, pooler=False)
)
CONFIG = PromptDSIConfig(pool=6, length=3, dropout=0.0)
IDS = np.array([[3, 4, 5, 0, 0], [1, 2, 0, 0, 0], [7, 8, 9, 10, 11], [6, 12, 1, 0, 0]])
TASK = QueryTask(IDS, np.array([5, 6, 6, 7]))
ROOM, OLD, NEW = 10, 5, 3
BATCH = {"row": jnp.arange(4), "where": jnp.array([True, True, True, False])}


def _config(prompts="topic", **changes):
    return dataclasses.replace(CONFIG, prompts=prompts, **changes)


@pytest.fixture(scope="module")
def weights():
    """An encoder and rows as if they had been trained on the first corpus."""
    shapes = jax.eval_shape(ENCODER.init, jax.random.key(0), jnp.asarray(IDS))["params"]
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    drawn = [jnp.asarray(rng.normal(0, 0.5, x.shape).astype(np.float32)) for x in leaves]
    return {
        "encoder": jax.tree.unflatten(tree, drawn),
        "rows": new_rows(jax.random.key(1), ROOM, 8),
    }


def _with_pool(config, weights):
    keys = jax.random.normal(jax.random.key(2), (config.pool, 8))
    given = keys if config.prompts == "topic" else None
    return weights | {"pool": new_pool(jax.random.key(3), config, ENCODER, given)}


def _encode(config, weights, ids=IDS):
    run = jax.jit(functools.partial(prompt_dsi.encode, config, ENCODER, choice=(0, config.pool)))
    return run(weights, ids=jnp.asarray(ids))


def test_prompts_of_no_length_are_the_frozen_encoder(weights):
    plain = _encode(CONFIG, weights)
    empty = _config(length=0)
    assert_array_equal(_encode(empty, _with_pool(empty, weights)).features, plain.features)
    prompted = _encode(CONFIG, _with_pool(CONFIG, weights))
    assert np.abs(prompted.features - plain.features).max() > 0.01
    # Prompts are chosen by what the frozen encoder says at that layer, in one pass or in two.
    assert_array_equal(prompted.query, plain.query)
    both = _config(two_pass=True)
    again = _encode(both, _with_pool(both, weights))
    assert_array_equal(again.query, plain.query)
    assert_array_equal(again.chosen.index, prompted.chosen.index)
    assert_allclose(again.features, prompted.features, atol=1e-6)


@pytest.mark.parametrize("prompts", ["topic", "coda"])
def test_no_query_depends_on_the_others(prompts, weights):
    config = _config(prompts, top_k=2)
    everything = _with_pool(config, weights)
    order = np.array([2, 0, 3, 1])
    found = _encode(config, everything).features
    assert_allclose(_encode(config, everything, IDS[order]).features, found[order], atol=1e-5)
    assert_allclose(_encode(config, everything, IDS[:1]).features, found[:1], atol=1e-5)
    if prompts == "topic":
        official = dataclasses.replace(config, official=True)
        mixed = _encode(official, everything)
        again = _encode(official, everything, IDS[order])
        assert np.abs(again.features - mixed.features[order]).max() > 1e-3


def _stepped(config, stage, weights):
    """All weights before and after two steps of AdamW with decay."""
    model = prompt_dsi.build(config, ENCODER, stage, weights, TASK)
    objective = model.objective
    variables = started(objective, jax.random.key(4))
    params, state = variables["params"], {"frozen": variables["frozen"]}
    optimiser = optax.adamw(0.1, weight_decay=0.5)

    @jax.jit
    def step(params, opt):
        slope = jax.grad(lambda p: objective.loss(p, state, BATCH, jax.random.key(5))[0])(params)
        updates, opt = optimiser.update(slope, opt, params)
        return optax.apply_updates(params, updates), opt

    opt = optimiser.init(params)
    for _ in range(2):
        params, opt = step(params, opt)
    return model, params, state, join(stage, params, state["frozen"])


@pytest.mark.parametrize("prompts", ["topic", "l2p", "s++", "coda"])
def test_what_is_frozen_stays_bit_for_bit(prompts, weights):
    config = _config(prompts)
    before = _with_pool(config, weights)
    stage = prompt_stage(config, 2, 3, OLD, NEW)
    model, params, state, after = _stepped(config, stage, before)
    jax.tree.map(assert_array_equal, after["encoder"], before["encoder"])
    assert_array_equal(after["rows"][:OLD], before["rows"][:OLD])
    assert_array_equal(after["rows"][OLD + NEW :], before["rows"][OLD + NEW :])
    assert (after["rows"][OLD : OLD + NEW] != before["rows"][OLD : OLD + NEW]).any(1).all()
    own = np.zeros(config.pool, bool)
    own[slice(*stage.entries)] = True
    assert own.sum() == (2 if prompts in ("s++", "coda") else 6)
    for name, x in before["pool"].items():
        axis = 2 if name == "prompts" else 0
        old, new = (np.moveaxis(np.asarray(y), axis, 0) for y in (x, after["pool"][name]))
        assert_array_equal(new[~own], old[~own])
        assert (name in TRAINED[prompts]) == bool((new != old).any())
    # Afterwards all rows in use may be found, and no entry of a corpus to come is chosen.
    index = index_of(model.retriever, {"params": params, **state})
    jax.tree.map(assert_array_equal, index, after)
    retrieve = jax.jit(model.retriever.retrieve, static_argnames="k")
    found = retrieve(index, jnp.asarray(IDS), None, k=4)
    assert found.ids.shape == (4, 4) and 0 <= found.ids.min() and found.ids.max() < OLD + NEW
    pairs = np.array([[1, int(found.ids[1, 0])], [1, int(found.ids[1, 2])]])
    less = retrieve(index, jnp.asarray(IDS), exclusion(pairs), k=2)
    assert_array_equal(less.ids[1], found.ids[1, [1, 3]])
    assert_array_equal(less.ids[0], found.ids[0, :2])
    learner = prompt_dsi.Learner(config, ENCODER, stage)
    entries = prompt_dsi.chosen_entries(learner, after, jnp.asarray(IDS))
    assert entries.max() < stage.known[1] and (entries.min() == -1) == (prompts == "coda")


def test_tuning_moves_everything(weights):
    _, _, _, after = _stepped(CONFIG, tuning_stage(OLD, NEW), weights)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after["encoder"], weights["encoder"])
    assert (
        moved["tokens"]["embedding"] and moved["encoder"]["layer_1"]["feed_forward"]["in"]["bias"]
    )
    assert (after["rows"][:OLD] != weights["rows"][:OLD]).any(1).all()
    assert_array_equal(after["rows"][OLD + NEW :], weights["rows"][OLD + NEW :])


def test_what_does_not_fit_is_refused(weights):
    with pytest.raises(ValueError, match="chosen before layer 1"):
        _config(prompted=(0,))
    with pytest.raises(ValueError, match="topics bring keys"):
        new_pool(jax.random.key(0), CONFIG, ENCODER)
    with pytest.raises(ValueError, match="6 entries for 7 corpora"):
        prompt_stage(_config("s++"), 1, 7, OLD, NEW)
    with pytest.raises(ValueError, match=r"must lie in \[0, 3\)"):
        prompt_dsi.build(CONFIG, ENCODER, tuning_stage(0, 3), weights, TASK)
    with pytest.raises(ValueError, match="pool False"):
        prompt_dsi.build(CONFIG, ENCODER, prompt_stage(CONFIG, 1, 1, OLD, NEW), weights, TASK)
