"""The whole path of a run on small models: train, resume, report, recommend, sweep."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet
import pytest

from experiments.common.interactions import recommend, run_method
from experiments.common.recommend import Recommend
from experiments.common.sweep import Sweep, sweep
from experiments.mig_gt.__main__ import main
from experiments.mig_gt.config import EXPERIMENT, preset
from mmjax.data.synthetic.interactions import communities
from mmjax.training.records import load_record
from mmjax.training.run_config import override

QUIET = {"fit.quiet": True, "fit.tensorboard": False, "fit.devices": 1}


def small(method, **changes):
    """The smoke form of a method on the synthetic communities."""
    start = EXPERIMENT.settings(method=method, data="communities", small=True)
    return override(start, {**QUIET, "smoke": True, **changes})


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """A finished smoke run of the command, with baselines."""
    folder = tmp_path_factory.mktemp("run")
    flags = ["--data", "communities", "--smoke", "--workdir", str(folder), "--fit.devices", "1"]
    status = main([*flags, "--fit.quiet", "--baselines", "light_gcn", "bpr_mf"])
    return status, folder


def test_command_leaves_records_and_a_page(smoke_run):
    status, folder = smoke_run
    assert status == 0
    record = load_record(folder / "record.json")
    assert record.test["recall@20"][0] > 0
    assert record.command.startswith("python ")
    for method in ("light_gcn", "bpr_mf"):
        assert load_record(folder / "baselines" / method / "record.json").method == method
    page = (folder / "report.html").read_text()
    assert "MIG-GT on communities" in page and "A smoke run" in page and "LightGCN" in page


def test_the_same_command_again_gives_the_same_record(smoke_run, capsys):
    _, folder = smoke_run
    before = load_record(folder / "record.json")
    flags = ["--data", "communities", "--smoke", "--workdir", str(folder), "--fit.devices", "1"]
    assert main([*flags, "--fit.quiet"]) == 0
    assert load_record(folder / "record.json").test == before.test


def test_another_configuration_in_the_folder_is_refused(smoke_run, capsys):
    _, folder = smoke_run
    flags = ["--data", "communities", "--smoke", "--workdir", str(folder), "--fit.devices", "1"]
    assert main([*flags, "--model.l2", "0.5"]) == 2
    error = capsys.readouterr().err
    assert "another configuration" in error and "model.l2" in error


def _rows(folder, tmp_path, **flags):
    """The rows that `recommend` writes."""
    out = tmp_path / "top.jsonl"
    text = recommend(Recommend(folder, out=out, **flags))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert text == f"{len(rows):,} rows in {out}"
    return rows


def test_recommend_from_the_folder(smoke_run, tmp_path, capsys):
    _, folder = smoke_run
    rows = _rows(folder, tmp_path, users=("3", "7"), k=5)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5] * 2
    assert rows[0]["title"].startswith("item ")
    table = tmp_path / "top.parquet"
    recommend(Recommend(folder, users=("3", "7"), k=5, out=table))
    assert pyarrow.parquet.read_table(table).to_pylist() == rows
    assert main(["recommend", "--workdir", str(folder), "--users", "3"]) == 0
    assert "user 3" in capsys.readouterr().out


def test_recommended_items_are_new_to_the_user(smoke_run, tmp_path):
    _, folder = smoke_run
    data = communities()
    known = set(data.train[data.train[:, 0] == 3, 1].tolist())
    rows = _rows(folder, tmp_path, users=("3",), k=data.n_items)
    assert len(rows) == data.n_items - len(known)
    assert not known & {int(row["item"]) for row in rows}
    seen_too = _rows(folder, tmp_path, users=("3",), k=data.n_items, include_seen=True)
    assert len(seen_too) == data.n_items


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["recommend", "--workdir", "nowhere"], "no checkpoint"),
        (["teach"], "no command 'teach'"),
        (["--data", "netflix"], "choose one of"),
    ],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(flags, message, capsys):
    assert main(flags) == 2
    assert message in capsys.readouterr().err


def test_unknown_user_and_unknown_ending(smoke_run, capsys):
    _, folder = smoke_run
    assert main(["recommend", "--workdir", str(folder), "--users", "x9"]) == 2
    assert "x9" in capsys.readouterr().err
    assert main(["recommend", "--workdir", str(folder), "--out", "top.csv"]) == 2
    assert ".parquet or .jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["mig_gt", "light_gcn", "bpr_mf", "mgdcf"])
def test_every_method_learns_something_on_communities(method):
    result = run_method(small(method), test=False)
    assert result.record.test == {}
    assert np.isfinite(result.record.valid["recall@20"]).all()


def test_seeds_together_are_the_seeds_one_by_one():
    config = small("light_gcn", seeds=2)
    apart = run_method(config, test=False).record.valid["recall@20"]
    together = run_method(dataclasses.replace(config, together=True), test=False).record
    np.testing.assert_allclose(together.valid["recall@20"], apart, atol=2e-3)


def test_sweep_resumes_and_selects_on_validation(tmp_path):
    fixed = ("smoke=true", "fit.quiet=true", "fit.tensorboard=false", "fit.devices=1")
    flags = Sweep(
        tmp_path,
        ("optim.learning_rate=1e-6,1e-2",),
        method="bpr_mf",
        data="communities",
        fixed=fixed,
    )
    rows = sweep(flags, preset)
    assert rows[0]["recall@20"] >= rows[1]["recall@20"]
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("record.json")}
    assert len(times) == 2
    assert sweep(flags, preset) == rows
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("record.json")}
    assert all(load_record(p).test == {} for p in times)


def test_a_signal_stops_all_seeds_and_leaves_no_record(tmp_path, monkeypatch):
    from mmjax.training import seeds as module

    calls, real = [], module.fit

    def stopped(*args, **kwargs):
        calls.append(kwargs["seeds"])
        return dataclasses.replace(real(*args, **kwargs), stopped_because="signal")

    monkeypatch.setattr(module, "fit", stopped)
    flags = ["--data", "communities", "--method", "bpr_mf", "--smoke", "--seeds", "3"]
    assert main([*flags, "--fit.quiet", "--workdir", str(tmp_path)]) == 143
    assert calls == [(0,)]
    assert not list(tmp_path.rglob("record.json")) and not (tmp_path / "report.html").exists()
