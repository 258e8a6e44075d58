"""One step in three spellings on any number of devices is one step."""

import os
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.tree_util import Partial

from mmjax.blocks.common.collectives import global_sum
from mmjax.objective import Aux, Objective
from mmjax.training import parallel
from mmjax.training.parallel import Devices, make_mesh, pad_rows
from mmjax.training.state import TrainState, init_state
from mmjax.training.step import run_epochs, update
from tests.training import toy

MODES = ["jit", "shard_map", "pmap"]
COUNTS = [1, 2, 8]


def train(devices, optimiser, epochs=3):
    objective, source = toy.objective(), toy.source()
    state = init_state(objective, optimiser, jax.random.key(3))
    if devices is None:
        return jax.jit(lambda o, s, t: run_epochs(o, optimiser, s, t, epochs))(
            objective, source, state
        )

    def run(objective, source, state, *, rows, axis):
        return run_epochs(objective, optimiser, source, state, epochs, rows=rows, axis=axis)

    objective, source, state = devices.replicate((objective, source, state))
    return devices.data_parallel(run)(objective, source, state)


@pytest.mark.multi
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("mode", MODES)
def test_modes_and_devices_agree_with_one_device(mode, count):
    optimiser = optax.sgd(0.05)
    expected, metrics = train(None, optimiser)
    state, found = train(Devices(make_mesh(count), mode), optimiser)
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-6)
    jax.tree.map(close, state.params, expected.params)
    jax.tree.map(close, state.extra, expected.extra)
    np.testing.assert_allclose(found["loss"], metrics["loss"], rtol=1e-6)
    np.testing.assert_array_equal(found["rows"], metrics["rows"])
    np.testing.assert_array_equal(found["rows"][:, -1], [17, 17, 17])
    assert int(state.step) == 15


def _zeros(key):
    return {"params": {"w": jnp.zeros(3)}}


def quadratic():
    """Loss whose gradient is known: the mean over the real rows of (w - x)^2 / 2."""

    def loss(params, state, batch, key, axis=None):
        row = 0.5 * ((params["w"][None, :] - batch["x"]) ** 2).sum(1)
        count = global_sum(jnp.ones(len(row)), axis, where=batch["where"])
        return global_sum(row, axis, where=batch["where"]) / count, Aux(state, {})

    return Objective(Partial(_zeros), Partial(loss), Partial(id))


@pytest.mark.multi
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_step_moves_by_the_gradient_and_not_by_a_multiple_of_it(mode, count):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    where = np.arange(20) % 7 != 0
    devices, optimiser = Devices(make_mesh(count), mode), optax.sgd(1.0)
    objective = quadratic()

    def step(objective, state, batch, *, rows, axis):
        return update(objective, optimiser, state, rows(batch), axis)

    state = init_state(objective, optimiser, jax.random.key(0))
    args = devices.replicate((objective, state, {"x": x, "where": where}))
    state, metrics = devices.data_parallel(step)(*args)
    np.testing.assert_allclose(state.params["w"], x[where].mean(0), atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], 0.5 * (x[where] ** 2).sum(1).mean(), rtol=1e-6)


@pytest.mark.multi
def test_the_sum_over_devices_that_check_vma_would_add_is_really_there():
    """What `check_vma=False` guards against: the same body under the default is n times off."""
    mesh, everywhere = make_mesh(4), jax.P()

    def body(w):
        return jax.lax.pmean(jax.grad(lambda w: w * (1.0 + jax.lax.axis_index("data")))(w), "data")

    def ratio(**options):
        f = jax.shard_map(body, mesh=mesh, in_specs=everywhere, out_specs=everywhere, **options)
        return float(jax.jit(f)(jnp.float32(1)))

    assert ratio(check_vma=False) == 2.5
    assert ratio() == 4 * 2.5


@pytest.mark.multi
@pytest.mark.parametrize("mode", MODES)
def test_the_program_is_traced_once_and_the_state_is_donated(mode):
    devices, optimiser = Devices(make_mesh(2), mode), optax.adam(1e-2)
    chex.clear_trace_counter()

    @chex.assert_max_traces(1)
    def run(objective, source, state, *, rows, axis):
        return run_epochs(objective, optimiser, source, state, 1, rows=rows, axis=axis)

    objective, source = devices.replicate((toy.objective(), toy.source()))
    first = devices.replicate(init_state(toy.objective(), optimiser, jax.random.key(0)))
    program, cost = devices.data_parallel(run, donate=(2,)).compile(objective, source, first)
    state = first
    for _ in range(3):
        state, _ = program(objective, source, state)
    assert first.params["user"].is_deleted()
    assert int(state.step) == 15
    assert cost.seconds > 0 and cost.temporary_bytes >= 0
    # Before 0.8, where pmap became jit of shard_map, its programs are not analysed: 0 is unknown.
    unknown = mode == "pmap" and jax.__version_info__ < (0, 8)
    assert cost.flops == 0 if unknown else cost.flops > 0


def test_features_are_arguments_and_not_constants_of_the_program():
    table = jnp.arange(4000.0).reshape(1000, 4)

    def loss(table, params, state, batch, key, axis=None):
        return (params["w"] * table[batch["user"]].sum()).sum(), Aux(state, {})

    objective = Objective(
        Partial(lambda key: {"params": {"w": jnp.ones(2)}}), Partial(loss, table), Partial(id)
    )
    optimiser, source = optax.sgd(0.1), toy.source()
    state = init_state(objective, optimiser, jax.random.key(0))
    text = (
        jax.jit(lambda o, s, t: run_epochs(o, optimiser, s, t, 1))
        .lower(objective, source, state)
        .as_text()
    )
    assert "1000x4xf32" in text
    assert len(text) < 100_000


def equations(program):
    """All equations of a jaxpr, also those of the jaxprs that are parameters of others."""
    for equation in program.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params):
            if isinstance(inner, (Jaxpr, ClosedJaxpr)):
                yield from equations(inner)


@pytest.mark.multi
@pytest.mark.parametrize("changes", [False, True])
def test_collections_are_averaged_only_when_the_loss_changed_them(changes):
    """Frozen tables may travel in a collection; reducing them would cost time and bits."""

    def loss(params, state, batch, key, axis=None):
        table = state["frozen"]["table"]
        value = (params["w"] * table).sum() * batch["user"].mean()
        new = {"frozen": {"table": table + batch["user"].mean()}} if changes else state
        return value, Aux(dict(new), {})

    def init(key):
        return {"params": {"w": jnp.ones(777)}, "frozen": {"table": jnp.ones(777)}}

    objective = Objective(Partial(init), Partial(loss), Partial(id))
    optimiser, source = optax.sgd(0.1), toy.source()
    state = init_state(objective, optimiser, jax.random.key(0))

    def run(state):
        rows = partial(parallel.own_rows, axis="data")
        return run_epochs(objective, optimiser, source, state, 1, rows=rows, axis="data")

    everywhere = jax.P()
    mapped = jax.shard_map(
        run, mesh=make_mesh(2), in_specs=everywhere, out_specs=everywhere, check_vma=False
    )
    # JAX 0.7.2 sums a whole tree in one equation, 0.10.2 each array in its own.
    sums = [e for e in equations(jax.make_jaxpr(mapped)(state)) if e.primitive.name == "psum"]
    shapes = [x.aval.shape for e in sums for x in e.outvars]
    # The gradient, and the collection if the devices may disagree about it.
    assert shapes.count((777,)) == 1 + changes
    # The loss is averaged with the gradient, once.
    assert shapes.count(()) == 1


@pytest.mark.parametrize(("rows", "multiple", "expected"), [(5, 1, 5), (5, 4, 8), (8, 4, 8)])
def test_padding_adds_rows_that_do_not_count(rows, multiple, expected):
    batch = {"user": jnp.ones((rows, 2)), "where": jnp.ones(rows, bool)}
    padded = pad_rows(batch, multiple)
    assert padded["user"].shape == (expected, 2)
    assert int(padded["where"].sum()) == rows and bool(padded["where"][:rows].all())


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"user": jnp.ones(5)}, "5 rows cannot be split over 4 devices"),
        ({"user": jnp.ones(5), "where": jnp.ones(4, bool)}, "same leading axis"),
        ({"user": jnp.ones(())}, "same leading axis"),
    ],
)
def test_batches_that_cannot_be_split(batch, words):
    with pytest.raises(ValueError, match=words):
        pad_rows(batch, 4)


@pytest.mark.parametrize("count", [0, 9])
def test_devices_that_are_not_there(count):
    with pytest.raises(ValueError, match="there are 8"):
        make_mesh(count)


def test_init_gives_virtual_devices_threads_and_programs_a_cache(monkeypatch):
    monkeypatch.delenv("PJRT_NPROC")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    parallel.init()
    assert os.environ["PJRT_NPROC"] == "16"
    assert parallel._forced_by_flags("--a=1 --xla_force_host_platform_device_count=6") == 6


def test_init_lets_the_callers_cache_be(monkeypatch):
    before = jax.config.values["jax_compilation_cache_dir"]
    parallel.init()
    assert jax.config.values["jax_compilation_cache_dir"] == before
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        parallel.init()
        assert jax.config.values["jax_compilation_cache_dir"].endswith("mmjax/xla")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_state_is_a_pytree_of_its_fields():
    state = init_state(toy.objective(), optax.sgd(0.1), jax.random.key(0))
    assert isinstance(jax.tree.map(lambda x: x, state), TrainState)
    assert set(state.extra) == {"stats"}
