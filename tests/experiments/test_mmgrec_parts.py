"""Parts of the MMGRec experiment: optimiser, histories, tables, ablation, cost, claim."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmarks import growth
from experiments.mmgrec import analysis
from experiments.mmgrec import run as story
from experiments.mmgrec.analysis import NAMES, ids_line, quiet, searches_table
from experiments.mmgrec.config import FORMS, Ablate, Cost, preset
from experiments.mmgrec.run import user_histories
from mmjax.data.synthetic.interactions import topics
from mmjax.training.optim import optimiser
from mmjax.training.records import Record, load_record
from mmjax.training.run_config import override
from mmjax.training.seeds import RunResult, merge_seeds
from mmjax.training.signals import Interrupted
from mmjax.viz.tables import to_text


def _steps(config, gradients, start):
    opt, p = optimiser(config, steps_per_epoch=1), jnp.asarray(start)
    state, seen = opt.init(p), []
    for g in gradients:
        updates, state = opt.update(jnp.asarray(g), state, p)
        p = p + updates
        seen.append(np.asarray(p))
    return seen


def test_sgd_sums_gradients_and_decayed_weights():
    config = dataclasses.replace(
        preset("lastfm_2k", "paper").generator.optim,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.5,
    )
    p, buffer, want = np.array([1.0, -2.0]), np.zeros(2), []
    for g in ([0.3, 0.1], [-0.2, 0.4], [0.0, 0.0]):
        buffer = 0.9 * buffer + np.array(g) + 0.5 * p
        p = p - 0.1 * buffer
        want.append(p)
    got = _steps(config, [[0.3, 0.1], [-0.2, 0.4], [0.0, 0.0]], [1.0, -2.0])
    assert_allclose(got, want, rtol=1e-5)


def test_warm_up_is_linear_and_decay_decoupled():
    """Equal gradients make Adam's steps the step size; decayed weights add their share of it."""
    start = preset("lastfm_2k").generator.optim
    config = dataclasses.replace(start, learning_rate=0.1, warmup_steps=4, weight_decay=0.0)
    moved = -np.diff([0.0, *(x[0] for x in _steps(config, [[1.0]] * 6, [0.0]))])
    assert_allclose(moved, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=1e-4)
    decayed = _steps(dataclasses.replace(config, weight_decay=0.5), [[0.0]], [2.0])[0]
    assert_allclose(decayed, [2.0 - 0.025 * 0.5 * 2.0], rtol=1e-5)


def test_histories_are_those_of_training():
    data = topics()
    every, some = (np.asarray(user_histories(data, length)) for length in (12, 5))
    assert every.shape == (data.n_users, 12) and some.shape == (data.n_users, 5)
    for user in range(0, data.n_users, 3):
        mine = set(data.train[data.train[:, 0] == user, 1].tolist())
        assert set(every[user].tolist()) - {-1} == mine
        assert len(set(some[user].tolist())) == 5 and set(some[user].tolist()) <= mine


def _record(**changes):
    names = [f"{m}@{k}" for m in ("recall", "ndcg") for k in (10, 20)]
    test = {f"{p}{n}": [0.2, 0.3] for p in ("", "beam20/", "official/", "graph/") for n in names}
    values = {
        "method": "mmgrec",
        "data": "lastfm_2k",
        "split": "mmrec",
        "exclude": "train",
        "seeds": [0, 1],
        "valid": {"ids/popularity_tokens": [3.0, 5.0], "recall@10": [0.2, 0.3]},
        "test": {**test, "official/invalid": [0.25, 0.35]},
        "best_epoch": [5, 5],
        "epochs": [9, 9],
        "seconds": 10.0,
        "parameters": 7,
        "config": {"data_digest": "x"},
        "command": "python -m experiments.mmgrec",
        "commit": "abc",
        "device": "cpu",
        "versions": {},
    }
    return Record(**{**values, **changes})


def test_a_run_is_shown_by_its_searches():
    record = _record()
    text = to_text(searches_table(record, []))
    assert "MMGRec, 20 beams" in text and "free and unfiltered" in text and "vectors alone" in text
    assert ids_line(record) == "ids of no item 30.0% of those written freely; 4 popularity tokens"


def test_only_the_same_split_stands_beside_the_bench(tmp_path):
    for method, split in (("light_gcn", "mmrec"), ("bpr_mf", "random")):
        _record(method=method, split=split).save(tmp_path / f"{method}.json")
    with pytest.raises(ValueError, match="bpr_mf was measured on another split"):
        analysis.beside_the_bench(_record(), tmp_path)
    (tmp_path / "bpr_mf.json").unlink()
    assert "LightGCN" in to_text(analysis.beside_the_bench(_record(), tmp_path))


def test_seeds_join():
    single = [_record(seeds=[n], test={"recall@10": [n / 10]}, seconds=2.0) for n in range(3)]
    outcome = merge_seeds(
        [RunResult(r, [{}], [{"epoch": 1}], ["epochs"]) for r in single], {"a": 1}
    )
    assert outcome.record.seeds == [0, 1, 2] and outcome.record.seconds == 6.0
    assert outcome.record.test["recall@10"] == [0.0, 0.1, 0.2]
    assert outcome.record.config == {"a": 1} and len(outcome.history) == len(outcome.variables) == 3


def test_an_ablation_goes_on_where_it_stopped(tmp_path, monkeypatch):
    calls = []

    def stand_in(config, *, data, shared):
        calls.append((config.ids, config.joint, shared, config.workdir))
        assert config.generator.fit.epochs == 7
        if len(calls) == 2:
            raise Interrupted("stopped")
        return RunResult(_record(data=data.name), [{}], [], [])

    monkeypatch.setattr(story, "run_method", stand_in)
    flags = Ablate(tmp_path, "topics", seeds=2, forms=("full", "random_ids", "joint"), epochs=7)
    with pytest.raises(Interrupted):
        story.ablate(flags)
    text = story.ablate(flags)
    assert all(NAMES[form] in text for form in flags.forms)
    assert [ids for ids, *_ in calls] == ["vectors", "random", "random", "vectors"]
    assert [joint for _, joint, *_ in calls] == [False, False, False, True]
    assert {call[2:] for call in calls} == {(True, tmp_path / "topics" / "stages")}
    assert load_record(tmp_path / "topics" / "full" / "record.json").method == "mmgrec"
    with pytest.raises(ValueError, match="--forms half: choose from full"):
        story.ablate(dataclasses.replace(flags, forms=("half",)))


@pytest.mark.parametrize("form", FORMS)
def test_forms_change_one_thing(form):
    whole = quiet(preset("lastfm_2k"))
    config = override(whole, FORMS[form])
    assert (config == whole) == (form == "full")
    assert config.generator.fit.quiet and not config.graph.fit.tensorboard


def test_costs_as_a_table_and_a_picture(tmp_path):
    rows = [
        {"items": n, "name": name, "median_ms": n / 100, "mib": 1.25}
        for n in (1_000, 10_000)
        for name in (analysis.RETRIEVE, "write ids, 10 beams")
    ]
    path = tmp_path / "cost.json"
    path.write_text(json.dumps({"rows": rows}))
    text = growth.table(growth.load(path)["rows"])
    assert "| score every item | 10.0 ms, 1.2 MiB | 100.0 ms, 1.2 MiB |" in text
    assert analysis.draw_cost(rows, 64, tmp_path / "cost.png").stat().st_size > 0
    assert (tmp_path / "cost.csv").read_text().count("\n") == 5


@pytest.mark.slow
def test_costs_are_measured(tmp_path):
    flags = Cost(tmp_path / "c.json", items=(60,), users=2, widths=(4,), k=3, rounds=1)
    assert analysis.cost(flags).endswith("c.png") and (tmp_path / "c.png").exists()
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert {row["name"] for row in rows} == {analysis.RETRIEVE, "write ids, 4 beams"}
    assert all(row["median_ms"] > 0 for row in rows)
