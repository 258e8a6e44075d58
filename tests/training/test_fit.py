"""Training from beginning to end, and what is refused."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from mmjax.objective import Aux
from mmjax.training import logs
from mmjax.training.best import load_best
from mmjax.training.config import FitConfig
from mmjax.training.fitting import fit
from mmjax.training.loop import Hooks, TrainingDiverged
from mmjax.training.rundir import RunDirectoryError
from tests.training import toy
from tests.training.runs import assert_same_arrays, lines, stop_at, train


def scripted(values, seeds=1):
    """An evaluation that returns `values[seed][n]` at its n-th call for that seed."""
    calls = []

    def evaluate(params, extra, key):
        calls.append(None)
        n, s = divmod(len(calls) - 1, seeds)
        return {"recall@20": values[s][n]}

    return evaluate


def test_best_parameters_are_those_of_the_best_epoch():
    seen = []

    def evaluate(params, extra, key):
        seen.append(jax.tree.map(np.array, {"params": params, **extra}))
        return {"recall@20": [0.1, 0.4, 0.2, 0.4, 0.3, 0.2][len(seen) - 1]}

    result = train(evaluate=evaluate, patience=3)
    assert result.best_epoch == [2] and result.best_metric == [0.4]
    assert result.stopped_because == "patience" and len(result.history) == 5
    assert_same_arrays(result.variables[0], seen[1])
    assert_same_arrays(result.state.params, jax.tree.map(lambda x: x[None], seen[4]["params"]))
    assert [r["best"] for r in result.history] == [True, True, False, False, False]


def test_records_and_their_file(tmp_path):
    result = train(tmp_path, epochs=5, eval_every=2, run={"name": "toy"})
    assert result.stopped_because == "epochs"
    assert lines(tmp_path) == result.history
    assert [r["epoch"] for r in result.history] == [1, 2, 3, 4, 5]
    assert [r["step"] for r in result.history] == [5, 10, 15, 20, 25]
    # The last epoch is evaluated although it is odd.
    assert ["recall@20" in r for r in result.history] == [False, True, False, True, True]
    assert {"epoch", "seed", "step", "seconds", "elapsed", "loss", "rows"} <= set(result.history[0])
    assert result.history[0]["rows"] == (4 * 20 + 17) / 5
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["run"] == {"name": "toy"} and written["fit"]["eval_every"] == 2
    assert written["seeds"] == [0] and "fit.mode" in written["execution"]


def test_an_epoch_is_split_into_calls_without_changing_the_result():
    whole, pieces = train(epochs=3), train(epochs=3, steps_per_call=2)
    np.testing.assert_allclose(
        [r["loss"] for r in whole.history], [r["loss"] for r in pieces.history], rtol=1e-6
    )


def test_seeds_trained_together_are_each_as_if_alone():
    together = train(seeds=(3, 1, 2), patience=2)
    for s, seed in enumerate((3, 1, 2)):
        alone = train(seeds=(seed,), patience=2)
        assert together.best_epoch[s] == alone.best_epoch[0]
        np.testing.assert_allclose(together.best_metric[s], alone.best_metric[0], rtol=1e-4)
        own = [r for r in together.history if r["seed"] == seed]
        assert [r["epoch"] for r in own] == [r["epoch"] for r in alone.history]
        np.testing.assert_allclose(
            [r["loss"] for r in own], [r["loss"] for r in alone.history], rtol=1e-5
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
            together.variables[s]["params"],
            alone.variables[0]["params"],
        )


def test_every_seed_stops_on_its_own_and_the_run_with_the_last():
    values = [[0.9, 0.1, 0.1, None, None, None], [0.1, 0.2, 0.3, 0.1, 0.1, None]]
    calls = []

    def evaluate(params, extra, key):
        order = [0, 1] * 3 + [1] * 3
        s = order[len(calls)]
        n = order[: len(calls)].count(s)
        calls.append(s)
        return {"recall@20": values[s][n]}

    result = train(seeds=(7, 8), evaluate=evaluate, patience=2)
    assert result.best_epoch == [1, 3] and result.best_metric == [0.9, 0.3]
    assert result.stopped_because == "patience"
    assert [r["epoch"] for r in result.history if r["seed"] == 7] == [1, 2, 3]
    assert [r["epoch"] for r in result.history if r["seed"] == 8] == [1, 2, 3, 4, 5]


def test_without_an_evaluation_the_last_parameters_are_kept():
    result = train(evaluate=None, epochs=3, patience=1)
    assert result.best_epoch == [3] and result.best_metric == [None]
    assert_same_arrays(
        result.variables[0]["params"], jax.tree.map(lambda x: x[0], result.state.params)
    )


def test_a_finished_run_returns_its_result_without_training(tmp_path):
    first = train(tmp_path, epochs=3)

    def never(params, extra, key):
        raise AssertionError("evaluated again")

    again = train(tmp_path, epochs=3, evaluate=never)
    assert_same_arrays(again.variables, first.variables)
    assert_same_arrays(again.state, first.state)
    assert again.history == first.history and again.stopped_because == "epochs"
    assert again.best_epoch == first.best_epoch


def exploding(seed_of_key=None):
    """The toy loss, NaN at step 8 (the third of epoch 2), for the run of one seed only if given."""

    def loss(params, state, batch, key, axis=None):
        value, aux = toy.loss(jnp.float32(1), params, state, batch, key, axis)
        bad = state["stats"]["steps"] == 7
        if seed_of_key is not None:
            bad = bad & (params["marker"] == seed_of_key)
        return jnp.where(bad, jnp.nan, value), Aux(aux.state, aux.metrics | {"x": value / ~bad})

    return toy.objective()._replace(loss=Partial(loss))


def test_nan_says_where(tmp_path):
    with pytest.raises(TrainingDiverged) as caught:
        train(tmp_path, objective=exploding(), seeds=(4,), save_seconds=0.0)
    message = str(caught.value)
    assert "seed 4, epoch 2" in message and "step 8" in message and "loss is nan" in message
    assert "(and so are x)" in message
    assert str(tmp_path / "checkpoints" / "1") in message
    assert load_best(tmp_path).epoch == [1]


def test_nan_in_one_of_several_seeds():
    def loss(params, state, batch, key, axis=None):
        value, aux = toy.loss(jnp.float32(1), params, state, batch, key, axis)
        bad = (state["stats"]["steps"] == 7) & (params["user"][0, 0] == marked)
        return jnp.where(bad, jnp.inf, value), aux

    def frozen(key):
        return toy.init(key)

    marked = jax.random.normal(
        jax.random.split(jax.random.split(jax.random.key(9))[0])[0], (13, 4)
    )[0, 0]
    objective = toy.objective()._replace(init=Partial(frozen), loss=Partial(loss))
    config = FitConfig(epochs=6, quiet=True, devices=1)
    with pytest.raises(TrainingDiverged, match="seed 9, epoch 2: loss is inf at step 8"):
        fit(objective, toy.source(), optax.sgd(0.0), None, config, seeds=(0, 9))


def test_a_metric_that_is_nan_stops_too():
    with pytest.raises(TrainingDiverged, match="epoch 2: recall@20 is nan"):
        train(evaluate=scripted([[0.1, float("nan")]]))


def test_a_stopped_seed_may_diverge_unnoticed():
    values = [[0.9, 0.1, 0.1, 0.1, 0.1, 0.1]]
    assert train(evaluate=scripted(values), patience=1).stopped_because == "patience"


def test_a_metric_that_is_not_evaluated():
    with pytest.raises(
        ValueError, match=r"'ndcg' is not among those evaluated: \['noise', 'recall@20'\]"
    ):
        train(metric="ndcg")


def test_hooks_see_every_epoch_and_every_evaluation():
    records, scored = [], []
    hooks = Hooks(records.append, lambda variables, metrics: scored.append((variables, metrics)))
    result = train(seeds=(3, 4), epochs=5, eval_every=2, patience=0, hooks=hooks)
    assert records == result.history
    assert [(m["epoch"], m["seed"]) for _, m in scored] == [
        (epoch, seed) for epoch in (2, 4, 5) for seed in (3, 4)
    ]
    evaluated = [r["recall@20"] for r in records if "recall@20" in r]
    assert [m["recall@20"] for _, m in scored] == evaluated
    best = [v for v, m in scored if (m["seed"], m["epoch"]) == (4, result.best_epoch[1])]
    assert_same_arrays(best, [result.variables[1]])


def test_what_a_hook_raises_ends_the_run():
    def stop(record):
        raise KeyError(record["epoch"])

    with pytest.raises(KeyError, match="1"):
        train(hooks=Hooks(on_epoch=stop))


def test_validation_without_the_name_of_a_metric():
    with pytest.raises(ValueError, match=r"metric is empty.*one of \['noise', 'recall@20'\]"):
        train(metric="")
    assert train(metric="", evaluate=None, epochs=1).stopped_because == "epochs"


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_that_cannot_be(seeds):
    with pytest.raises(ValueError, match="seeds"):
        train(seeds=seeds)


def test_another_configuration_is_refused_and_named(tmp_path):
    train(tmp_path, epochs=3, run={"lr": 0.1, "layers": [1, 2]})
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(RunDirectoryError) as caught:
        train(tmp_path, epochs=2, run={"lr": 0.2, "layers": [1, 2]}, seeds=(1,))
    message = str(caught.value)
    assert "fit.epochs: 3 -> 2" in message
    assert "run.lr: 0.1 -> 0.2" in message
    assert "seeds: [0] -> [1]" in message
    assert "layers" not in message and str(tmp_path) in message
    assert (tmp_path / "config.json").read_text() == before


@pytest.mark.parametrize("content", ["{", "[]", '{"run": 1}', "\x00"])
def test_a_config_file_that_cannot_be_read(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunDirectoryError, match="config.json cannot be read"):
        train(tmp_path)


def test_the_checkpoint_remembers_the_configuration_too(tmp_path):
    train(tmp_path, epochs=3)
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunDirectoryError, match="fit.epochs: 3 -> 2"):
        train(tmp_path, epochs=2)


def test_more_epochs_go_on_as_if_asked_for_at_once(tmp_path):
    whole = train(epochs=5)
    assert train(tmp_path, epochs=2).stopped_because == "epochs"
    longer = train(tmp_path, epochs=5)
    assert_same_arrays(longer.state, whole.state)
    assert_same_arrays(longer.variables, whole.variables)
    assert [r["epoch"] for r in lines(tmp_path)] == [1, 2, 3, 4, 5]
    # A schedule over the whole length had other step sizes from the first step on.
    run = {"optim": {"schedule": "cosine", "warmup_share": 0.0}}
    train(tmp_path / "cosine", epochs=2, run=run)
    with pytest.raises(RunDirectoryError, match="fit.epochs: 2 -> 5"):
        train(tmp_path / "cosine", epochs=5, run=run)


def test_another_model_is_refused(tmp_path):
    train(tmp_path, epochs=2)

    def init(key):
        variables = toy.init(key)
        variables["params"]["user"] = jnp.zeros((13, 5))
        variables["params"]["more"] = jnp.zeros(2)
        return variables

    objective = toy.objective()._replace(init=Partial(init))
    with pytest.raises(Exception, match="(?s)another model or optimiser.*params/more is missing"):
        train(tmp_path, epochs=2, objective=objective)


def test_how_a_run_is_executed_may_change(tmp_path):
    expected = train(epochs=4)
    train(tmp_path, epochs=4, evaluate=stop_at(2))
    resumed = train(tmp_path, epochs=4, steps_per_call=3, save_seconds=0.0, keep=1)
    np.testing.assert_allclose(
        [r["loss"] for r in resumed.history], [r["loss"] for r in expected.history], rtol=1e-5
    )


@pytest.mark.multi
def test_a_run_goes_on_with_another_number_of_devices_and_another_mode(tmp_path):
    expected = train(epochs=4)
    train(tmp_path, epochs=4, evaluate=stop_at(2), devices=8)
    resumed = train(tmp_path, epochs=4, devices=2, mode="shard_map")
    np.testing.assert_allclose(
        [r["loss"] for r in resumed.history], [r["loss"] for r in expected.history], rtol=1e-5
    )


@pytest.mark.multi
@pytest.mark.parametrize("mode", ["jit", "shard_map", "pmap"])
def test_a_population_on_several_devices(mode):
    expected = train(epochs=2, seeds=(0, 1))
    found = train(epochs=2, seeds=(0, 1), devices=4, mode=mode)
    np.testing.assert_allclose(
        [r["loss"] for r in found.history], [r["loss"] for r in expected.history], rtol=1e-5
    )
    assert found.best_epoch == expected.best_epoch


def test_two_runs_at_once_in_one_directory_are_refused(tmp_path):
    def evaluate(params, extra, key):
        with pytest.raises(RunDirectoryError, match="another process is training"):
            train(tmp_path, epochs=1)
        return toy.evaluate(params, extra, key)

    train(tmp_path, epochs=1, evaluate=evaluate)


def test_tensorboard_events_and_the_screen(tmp_path, capsys):
    train(tmp_path, epochs=2, tensorboard=True, quiet=False)
    assert list((tmp_path / "tb").glob("events.*"))
    shown = capsys.readouterr().err
    assert "1 x cpu (jit)" in shown and "96 parameters" in shown and "5 steps/epoch" in shown
    # A pipe gets a line an evaluation, and no bar that is drawn again and again.
    told = [line for line in shown.splitlines() if line.startswith("epoch ")]
    assert [line.split(",")[0] for line in told] == ["epoch 1/2", "epoch 2/2"]
    assert "best recall@20" in told[-1] and "\r" not in shown


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(logs, "_is_terminal", lambda: True)
    train(epochs=2, quiet=False)
    shown = capsys.readouterr().err
    assert "2/2" in shown and "loss=" in shown and "recall@20=" in shown


def test_load_best_needs_no_optimiser(tmp_path):
    result = train(tmp_path, epochs=3, seeds=(2, 5), run={"name": "toy"})
    best = load_best(tmp_path)
    assert best.seeds == (2, 5) and best.finished
    assert best.epoch == result.best_epoch and best.metric == result.best_metric
    assert best.description["run"] == {"name": "toy"}
    for found, expected in zip(best.variables, result.variables, strict=True):
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        assert_same_arrays(found, expected)


def test_load_best_without_a_run(tmp_path):
    with warnings.catch_warnings(), pytest.raises(Exception, match="no checkpoint in"):
        load_best(tmp_path)
