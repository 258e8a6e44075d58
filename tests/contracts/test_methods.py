"""What every method of the registry owes, whatever its paper: one table of properties."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmjax.models.registry import METHODS
from mmjax.retriever import exclusion, index_of
from mmjax.training.checkpoints import Checkpoints, restore
from mmjax.training.naming import named, unnamed
from mmjax.training.parallel import Devices, make_mesh
from mmjax.training.state import TrainState
from mmjax.training.step import update
from tests.contracts.cases import NAMES, case, key, rows_of
from tests.starts import started

RETRIEVING = [name for name in NAMES if name != "rq_vae"]
# Losses whose rows meet each other by design: a batch is not the sum of its rows.
TOGETHER: tuple[str, ...] = ()
# A loss sees its devices under shard_map and pmap alike; jit leaves them to the compiler. The quick
# tests spell all three for one method of each kind of batch.
SPELT = ("mig_gt", "sasrec", "avg")
SPELLINGS = [
    pytest.param(n, mode, marks=() if mode == "shard_map" or n in SPELT else pytest.mark.slow)
    for n in NAMES
    for mode in ("shard_map", "jit", "pmap")
]
OPTIMISER = optax.sgd(0.1, momentum=0.9)


@functools.cache
def variables(name):
    return started(case(name).objective, jax.random.key(0))


def split(variables):
    state = {n: x for n, x in variables.items() if n != "params"}
    return variables["params"], state


@jax.jit
def _gradient(objective, variables, batch, key):
    params, state = split(variables)
    return jax.value_and_grad(lambda p: objective.loss(p, state, batch, key)[0])(params)


def gradient(objective, variables, batch):
    return _gradient(objective, variables, batch, key())


@pytest.mark.parametrize("name", NAMES)
def test_a_start_is_a_function_of_the_key(name):
    one, again = variables(name), started(case(name).objective, jax.random.key(0))
    chex.assert_trees_all_equal(one, again)
    chex.assert_tree_all_finite(one["params"])
    assert jax.tree.leaves(one["params"])


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_finite_and_reach_the_parameters(name):
    value, grads = gradient(case(name).objective, variables(name), case(name).batch)
    assert value.shape == () and np.isfinite(value)
    chex.assert_tree_all_finite(grads)
    assert any(np.asarray(x).any() for x in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_do_not_count_are_deleted(name):
    c = case(name)
    whole = gradient(c.objective, variables(name), c.batch)
    fewer = gradient(c.objective, variables(name), rows_of(c, np.arange(3)))
    chex.assert_trees_all_close(fewer, whole, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_are_trained_together_as_alone(name):
    c = case(name)
    seeds = [variables(name), started(c.objective, jax.random.key(1))]
    together = jax.tree.map(lambda *x: jnp.stack(x), *seeds)
    values, grads = jax.vmap(_gradient, in_axes=(None, 0, None, None))(
        c.objective, together, c.batch, key()
    )
    for n, seed in enumerate(seeds):
        value, alone = gradient(c.objective, seed, c.batch)
        np.testing.assert_allclose(values[n], value, rtol=1e-4)
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, n=n: x[n], grads), alone, rtol=2e-3, atol=2e-5
        )


@jax.jit
def one_step(objective, state, batch):
    return update(objective, OPTIMISER, state, batch)


@functools.cache
def first_step(name):
    """A state before and after a step on one device, and the metrics of the step."""
    params, extra = split(variables(name))
    state = TrainState(params, extra, OPTIMISER.init(params), jnp.zeros((), jnp.int32), key())
    return state, *one_step(case(name).objective, state, case(name).batch)


@pytest.mark.multi
@pytest.mark.parametrize(("name", "mode"), SPELLINGS)
def test_two_devices_are_one(name, mode):
    c = case(name)
    state, expected, metrics = first_step(name)
    rest = {n: c.batch[n] for n in c.drawn}
    rows = {n: x for n, x in c.batch.items() if n not in c.drawn}

    def step(objective, state, batch, drawn, *, rows, axis):
        return update(objective, OPTIMISER, state, {**rows(batch), **drawn}, axis)

    devices = Devices(make_mesh(2), mode)
    given = devices.replicate((c.objective, state, rows, rest))
    found, values = devices.data_parallel(step)(*given)
    chex.assert_trees_all_close(found.params, expected.params, rtol=1e-3, atol=1e-5)
    chex.assert_trees_all_close(found.extra, expected.extra, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(values["loss"], metrics["loss"], rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_from_disk_goes_on_to_the_same_bits(name, tmp_path):
    _, once, _ = first_step(name)
    writer = Checkpoints(tmp_path, keep=1)
    writer.save(named(once), {}, {})
    writer.wait()
    writer.close()
    resumed = unnamed(restore(tmp_path).state, jax.eval_shape(lambda: once))
    twice, again = (
        named(one_step(case(name).objective, state, case(name).batch)[0])
        for state in (once, resumed)
    )
    chex.assert_trees_all_equal(again, twice)
    before = named(once)
    assert any(not np.array_equal(before[n], x) for n, x in twice.items() if n[:6] == "params")


@pytest.mark.parametrize("name", RETRIEVING)
def test_a_retriever_keeps_its_word(name):
    c = case(name)
    n, queries = c.retriever.n_candidates, c.queries
    count = len(jax.tree.leaves(queries)[0])
    index = index_of(c.retriever, variables(name))
    answer = jax.jit(
        lambda q, exclude, k: c.retriever.retrieve(index, q, exclude, k=k), static_argnums=2
    )
    every = answer(queries, None, n + 2)
    ids, scores = np.asarray(every.ids), np.asarray(every.scores)
    assert ids.shape == scores.shape == (count, n + 2)
    finite = np.where(np.isfinite(scores), scores, -1e9)
    assert (np.diff(finite, axis=1) <= 1e-5).all()
    for row, values in zip(ids, scores, strict=True):
        known = row[row >= 0]
        assert len(set(known.tolist())) == len(known) and known.max() < n
        assert (row[len(known) :] == -1).all(), "missing candidates come last"
        assert np.isfinite(values[: len(known)]).all()
    first = np.stack([np.arange(count), ids[:, 0]], 1)
    without = np.asarray(answer(queries, exclusion(first), 2).ids)
    assert not (without == ids[:, :1]).any()
    few = np.asarray(answer(jax.tree.map(lambda x: x[1:2], queries), None, 2).ids)
    np.testing.assert_array_equal(few[0], ids[1, :2])


@pytest.mark.parametrize("name", RETRIEVING)
def test_vectors_are_compared_exactly(name):
    c = case(name)
    index = index_of(c.retriever, variables(name))
    if not hasattr(index, "users") or METHODS[name].kind == "pairs":
        pytest.skip("no vectors of users")
    found = c.retriever.retrieve(index, c.queries, None, k=c.retriever.n_candidates)
    users, items = np.asarray(index.users, np.float64), np.asarray(index.items, np.float64)
    score = c.retriever.retrieve.args[0]
    if score is not None:
        pytest.skip("a score of its own")
    scores = np.take_along_axis(users @ items.T, np.asarray(found.ids), 1)
    np.testing.assert_allclose(scores, found.scores, rtol=1e-4, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 1e-5).all()
