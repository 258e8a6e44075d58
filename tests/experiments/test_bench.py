"""The bench: choose on validation, train the seeds, test once, compare."""

import json

import pytest

from experiments.bench.bench import leaderboard
from experiments.bench.cli import main
from experiments.bench.presets import GRIDS, grid, preset
from experiments.common.config import override
from experiments.common.methods import METHODS, Method
from experiments.common.results import load_record

QUICK = ["--data", "communities", "--smoke", "--devices", "1", "--seeds", "2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished bench of two methods, one of them with a grid."""
    folder = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    patch.setitem(GRIDS, "bpr_mf", ({"model.l2": 0.1}, {"model.l2": 1e-3}))
    flags = [*QUICK, "--workdir", str(folder), "--models", "light_gcn", "bpr_mf"]
    yield flags, main(flags), folder / "communities"
    patch.undo()


def _records(folder):
    """Records of trainings, without those of rankings that need none."""
    found = {p: load_record(p) for p in folder.rglob("record.json")}
    return {p: r for p, r in found.items() if r.seeds}


def test_every_method_has_a_record_and_a_row(finished):
    _, status, folder = finished
    assert status == 0
    tested = [r for r in _records(folder).values() if r.test]
    assert sorted(r.method for r in tested) == ["bpr_mf", "light_gcn"]
    assert all(r.seeds == [0, 1] and len(r.test["recall@20"]) == 2 for r in tested)
    assert all(r.seconds_per_epoch > 0 for r in tested)
    text = (folder / "leaderboard.txt").read_text()
    assert "LightGCN" in text and "BPR-MF" in text and "popularity" in text
    assert load_record(folder / "popularity" / "record.json").seeds == []
    assert (folder / "leaderboard.png").stat().st_size > 0


def test_the_grid_is_decided_on_validation_alone(finished):
    _, _, folder = finished
    rows = json.loads((folder / "bpr_mf" / "grid.json").read_text())
    assert [row["set"]["model.l2"] for row in rows] == [0.1, 1e-3]
    trials = [r for p, r in _records(folder).items() if "trials" in p.parts]
    assert len(trials) == 2 and all(r.test == {} for r in trials)
    best = max(rows, key=lambda row: row["recall@20"])["set"]["model.l2"]
    (chosen,) = [r for r in _records(folder).values() if r.test and r.method == "bpr_mf"]
    assert chosen.config["model"]["l2"] == best


def test_the_same_command_again_trains_nothing(finished, monkeypatch):
    flags, _, folder = finished
    before = {p: p.stat().st_mtime_ns for p in _records(folder)}
    monkeypatch.setattr(Method, "run", lambda *a, **k: pytest.fail("trained again"))
    assert main(flags) == 0
    assert {p: p.stat().st_mtime_ns for p in _records(folder)} == before


def test_the_best_method_is_the_reference(finished):
    _, _, folder = finished
    tested = [r for r in _records(folder).values() if r.test]
    table = leaderboard(tested)
    means = [line.cells["recall@20"].mean for line in table.lines]
    assert means == sorted(means, reverse=True)
    assert table.reference == table.lines[0].name
    assert leaderboard(tested, "bpr_mf").reference == "BPR-MF"


@pytest.mark.parametrize("method", list(METHODS))
def test_presets_and_grids_fit_their_methods(method):
    start = preset(method, "lastfm_2k")
    assert isinstance(start.model, METHODS[method].config_class())
    for point in grid(method):
        assert override(start, point).method == method


def test_an_unknown_method_is_named(capsys):
    assert main(["--models", "nothing"]) == 2
    assert "--models nothing: choose from mig_gt" in capsys.readouterr().err
