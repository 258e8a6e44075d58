"""Training stopped by signals, and resumed."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mmjax.training.best import load_best
from tests.training import toy
from tests.training.runs import assert_same_arrays, lines, stop_at, train, without_times


@pytest.mark.parametrize(
    ("call", "options"),
    [(1, {}), (3, {}), (1, {"eval_every": 3}), (2, {"steps_per_call": 2, "seeds": (0, 5)})],
)
def test_sigterm_saves_and_the_resumed_run_ends_bit_identical(tmp_path, call, options):
    expected = train(tmp_path / "whole", **options)
    stopped = train(tmp_path / "parts", evaluate=stop_at(call), **options)
    assert stopped.stopped_because == "signal"
    assert len(stopped.history) < len(expected.history)
    assert not load_best(tmp_path / "parts").finished
    resumed = train(tmp_path / "parts", **options)
    assert_same_arrays(resumed.state, expected.state)
    assert_same_arrays(resumed.variables, expected.variables)
    assert without_times(resumed.history) == without_times(expected.history)
    assert without_times(lines(tmp_path / "parts")) == without_times(expected.history)


def test_sigterm_within_an_epoch(tmp_path):
    """Sums of the epoch in progress survive."""
    calls = [None]

    def loss(scale, params, state, batch, key, axis=None):
        value, aux = toy.loss(scale, params, state, batch, key, axis)
        jax.debug.callback(
            lambda step: int(step) == 7 and not calls and _term(calls), state["stats"]["steps"]
        )
        return value, aux

    # One objective for all three: other programs round otherwise.
    options = {
        "objective": toy.objective()._replace(loss=Partial(loss, jnp.float32(1))),
        "steps_per_call": 1,
    }
    expected = train(tmp_path / "whole", **options)
    calls.clear()
    stopped = train(tmp_path / "parts", **options)
    assert stopped.stopped_because == "signal" and int(stopped.state.step[0]) % 5
    assert len(stopped.history) == int(stopped.state.step[0]) // 5
    resumed = train(tmp_path / "parts", **options)
    assert_same_arrays(resumed.state, expected.state)
    assert without_times(lines(tmp_path / "parts")) == without_times(expected.history)


def test_sigterm_within_an_epoch_resumed_with_calls_of_another_length(tmp_path):
    expected = train(steps_per_call=5)
    train(tmp_path, evaluate=stop_at(2), steps_per_call=2, epochs=6)
    assert int(np.asarray(load_best(tmp_path).epoch[0])) >= 1
    resumed = train(tmp_path, steps_per_call=3)
    np.testing.assert_allclose(
        [r["loss"] for r in resumed.history], [r["loss"] for r in expected.history], rtol=1e-5
    )


def _term(calls):
    calls.append(None)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def interruptible():
    """SIGINT raises, also where this process was started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_saves_and_the_second_one_raises(tmp_path, interruptible):
    assert train(tmp_path / "one", evaluate=stop_at(1, signal.SIGINT)).stopped_because == "signal"

    def twice(params, extra, key):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return toy.evaluate(params, extra, key)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "two", evaluate=twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
