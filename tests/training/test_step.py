"""The update and the loop of updates."""

import math
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.tree_util import Partial

from mmjax.blocks.sequences.sampling import negative_index
from mmjax.objective import Aux, Objective
from mmjax.training.config import FitConfig
from mmjax.training.fitting import fit
from mmjax.training.sources.pairs import BatchSource, pairs_source, with_draws
from mmjax.training.state import BATCH, draw_key, init_state
from mmjax.training.step import per_seed, run_epochs, run_steps, split_epoch, start_epoch, update
from tests.training import toy


def assert_equal(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def raw(state):
    """The state without its key, which numpy cannot hold."""
    return state.params, state.extra, state.opt, state.step


@partial(jax.jit, static_argnames=("optimiser", "n_steps", "ragged"))
def steps(objective, source, state, first, *, optimiser, n_steps, ragged=True):
    plan = start_epoch(source, state)
    options = {"n_steps": n_steps, "ragged": ragged}
    return run_steps(objective, optimiser, source, state, plan, first, **options)


@given(steps=st.integers(1, 300), most=st.integers(1, 40))
def test_an_epoch_is_split_into_few_calls_without_much_waste(steps, most):
    n = split_epoch(steps, most)
    assert 1 <= n <= min(steps, most)
    calls = math.ceil(steps / n)
    assert calls <= max(2 * math.ceil(steps / most), 1)
    assert calls * n - steps < calls


@pytest.mark.parametrize(
    ("steps", "most", "expected"),
    [(15, 16, 15), (25, 16, 13), (32, 16, 16), (1, 16, 1), (23, 8, 8)],
)
def test_split_epoch_by_hand(steps, most, expected):
    assert split_epoch(steps, most) == expected


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5])
def test_pieces_of_an_epoch_equal_the_whole(n_steps):
    optimiser = optax.adam(1e-2)
    objective, source = toy.objective(), toy.source()
    start = init_state(objective, optimiser, jax.random.key(1))
    whole, expected = steps(objective, source, start, 0, optimiser=optimiser, n_steps=5)
    state, losses = start, []
    for first in range(0, 5, n_steps):
        state, metrics = steps(
            objective, source, state, first, optimiser=optimiser, n_steps=n_steps
        )
        losses += np.asarray(metrics["loss"])[: 5 - first].tolist()
    np.testing.assert_allclose(losses, expected["loss"], rtol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), state.params, whole.params)
    assert int(state.step) == 5


def test_steps_beyond_the_epoch_change_nothing():
    optimiser = optax.adam(1e-2)
    objective, source = toy.objective(), toy.source()
    start = init_state(objective, optimiser, jax.random.key(1))
    state, metrics = steps(objective, source, start, 5, optimiser=optimiser, n_steps=2)
    assert_equal(raw(state), raw(start))
    assert_equal(metrics["loss"], np.zeros(2, np.float32))


def test_the_loop_is_the_update_repeated():
    optimiser = optax.sgd(0.1, momentum=0.9)
    objective, source = toy.objective(), toy.source()
    state = start = init_state(objective, optimiser, jax.random.key(1))
    once = jax.jit(lambda o, s, b: update(o, optimiser, s, b))
    for step in range(10):
        plan = start_epoch(source, state)
        batch = source.batch(plan, step % 5, draw_key(state.key, BATCH, step))
        state, _ = once(objective, state, batch)
    looped, metrics = jax.jit(lambda o, s, t: run_epochs(o, optimiser, s, t, 2))(
        objective, source, start
    )
    assert metrics["loss"].shape == (2, 5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), looped.params, state.params)


def test_every_pair_is_seen_once_an_epoch_in_an_order_of_its_own():
    source, key = toy.source(), jax.random.key(0)
    orders = []
    for epoch in range(2):
        plan = source.epoch(draw_key(key, 0, epoch))
        rows = [source.batch(plan, i, jax.random.fold_in(key, i)) for i in range(5)]
        real = [np.stack([r["user"], r["item"]], 1)[np.asarray(r["where"])] for r in rows]
        orders.append(np.concatenate(real))
        assert [len(r) for r in real] == [20, 20, 20, 20, 17]
        assert rows[0]["negatives"].shape == (20, 2)
    assert (
        sorted(map(tuple, orders[0]))
        == sorted(map(tuple, toy.PAIRS))
        == sorted(map(tuple, orders[1]))
    )
    assert (orders[0] != orders[1]).any()


def test_negatives_are_unseen_on_request():
    pairs = np.asarray([(u, i) for u in range(4) for i in range(6) if (u + i) % 3])
    source = pairs_source(pairs, 6, 5, n_negatives=7, unseen=negative_index(pairs, 4, 6))
    plan = source.epoch(jax.random.key(0))
    batch = source.batch(plan, 0, jax.random.key(1))
    assert (np.asarray(batch["user"][:, None] + batch["negatives"]) % 3 == 0).all()


@pytest.mark.parametrize(
    "bad", [{"batch_size": 0}, {"n_negatives": -1}, {"pairs": np.zeros((0, 2), int)}]
)
def test_sources_that_cannot_be(bad):
    options = {"pairs": toy.PAIRS, "n_items": 11, "batch_size": 4} | bad
    with pytest.raises(ValueError, match="pairs_source"):
        pairs_source(**options)


def test_a_batch_is_never_larger_than_the_data():
    assert pairs_source(toy.PAIRS, 11, 10_000).steps_per_epoch == 1


def test_entries_drawn_once_an_epoch_join_every_batch_whole():
    def loss(params, state, batch, key, axis=None):
        assert batch["edges"].shape == (50,)
        return (params["w"] * batch["edges"].sum() * batch["user"].mean()), Aux(state, {})

    objective = Objective(
        Partial(lambda k: {"params": {"w": jnp.ones(())}}), Partial(loss), Partial(id)
    )
    source = BatchSource(
        epoch=Partial(lambda key: jax.random.uniform(key, (50,))),
        batch=Partial(lambda plan, i, key: {"user": jnp.ones(4)}),
        steps_per_epoch=3,
        shared=Partial(lambda plan: {"edges": plan}),
    )
    optimiser = optax.sgd(0.0)
    state = init_state(objective, optimiser, jax.random.key(0))
    _, metrics = run_epochs(objective, optimiser, source, state, 2)
    per_epoch = np.asarray(metrics["loss"])
    assert (per_epoch == per_epoch[:, :1]).all() and per_epoch[0, 0] != per_epoch[1, 0]


def test_an_objective_draws_for_every_epoch():
    draw = Partial(lambda key: {"edges": jax.random.uniform(key, (50,))})
    plain, drawn = toy.source(), with_draws(toy.source(), draw)
    assert with_draws(plain, None) is plain
    plans = [drawn.epoch(jax.random.key(n)) for n in (0, 0, 1)]
    edges = [drawn.shared(plan)["edges"] for plan in plans]
    assert (edges[0] == edges[1]).all() and (edges[0] != edges[2]).all()
    batch = plain.batch(plain.epoch(jax.random.key(0)), 1, jax.random.key(5))
    chex.assert_trees_all_equal(drawn.batch(plans[0], 1, jax.random.key(5)), batch)


def test_fit_gives_the_draws_of_the_objective_to_its_loss():
    def loss(params, state, batch, key, axis=None):
        return params["w"] * batch["kept"].sum(), Aux(state, {})

    objective = Objective(
        Partial(lambda k: {"params": {"w": jnp.ones(())}}),
        Partial(loss),
        epoch=Partial(lambda key: {"kept": jax.random.uniform(key, (5,))}),
    )
    config = FitConfig(epochs=2, eval_every=1, quiet=True)
    history = fit(objective, toy.source(), optax.sgd(0.0), None, config).history
    assert history[0]["loss"] != history[1]["loss"]


def test_the_loss_reaches_optimisers_that_want_it():
    optimiser = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, factor=0.5))
    objective, source = toy.objective(), toy.source()
    state = init_state(objective, optimiser, jax.random.key(0))
    state, _ = jax.jit(lambda o, s, t: run_epochs(o, optimiser, s, t, 4))(objective, source, state)
    assert float(state.opt[-1].scale) < 1.0


def test_parameters_and_features_in_bfloat16():
    features = jnp.ones((11, 3), jnp.bfloat16)

    def init(key):
        return {"params": {"w": jax.random.normal(key, (3,), jnp.bfloat16)}}

    def loss(features, params, state, batch, key, axis=None):
        score = (features[batch["item"]] * params["w"][None, :]).sum(1)
        return jnp.mean(jnp.where(batch["where"], score, 0) ** 2), Aux(state, {})

    objective = Objective(Partial(init), Partial(loss, features), Partial(id))
    optimiser, source = optax.adam(1e-2), toy.source()
    state = init_state(objective, optimiser, jax.random.key(0))
    state, metrics = jax.jit(lambda o, s, t: run_epochs(o, optimiser, s, t, 30))(
        objective, source, state
    )
    assert state.params["w"].dtype == jnp.bfloat16
    assert metrics["loss"].dtype == jnp.float32
    assert float(metrics["loss"][-1].mean()) < 0.1 * float(metrics["loss"][0].mean())


def test_one_seed_costs_nothing_extra_and_many_are_the_same_as_each():
    optimiser = optax.adam(1e-2)
    objective, source = toy.objective(), toy.source()

    def one(objective, source, state):
        return run_epochs(objective, optimiser, source, state, 2)

    @jax.jit
    def stacked(*keys):
        states = [init_state(objective, optimiser, key) for key in keys]
        return jax.tree.map(lambda *x: jnp.stack(x), *states)

    axes = (None, None, 0)
    state = init_state(objective, optimiser, jax.random.key(0))
    alone = jax.jit(one).lower(objective, source, state).compile()
    single = stacked(jax.random.key(0))
    wrapped = jax.jit(per_seed(one, axes, 1)).lower(objective, source, single).compile()
    for what in ("flops", "bytes accessed"):
        assert wrapped.cost_analysis()[what] <= 1.001 * alone.cost_analysis()[what]
    temporary = [c.memory_analysis().temp_size_in_bytes for c in (alone, wrapped)]
    assert temporary[1] <= temporary[0] * 1.01 + 1024

    states = stacked(*(jax.random.key(s) for s in range(3)))
    together, metrics = jax.jit(per_seed(one, axes, 3))(objective, source, states)
    assert metrics["loss"].shape == (3, 2, 5)
    for s in range(3):
        state = init_state(objective, optimiser, jax.random.key(s))
        expected, losses = alone(objective, source, state)
        np.testing.assert_allclose(metrics["loss"][s], losses["loss"], rtol=1e-5)
        found = jax.tree.map(lambda x, s=s: x[s], together.params)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found, expected.params)
