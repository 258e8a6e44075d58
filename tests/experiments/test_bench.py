"""The bench: choose on validation, train the seeds, test once, compare."""

import json

import pytest

from experiments.bench import run
from experiments.bench.__main__ import main
from experiments.bench.analysis import leaderboard
from experiments.bench.config import EXPERIMENT, GRIDS, METHODS, Bench, grid, preset
from experiments.common import comparison
from mmjax.models import registry
from mmjax.training.records import load_record
from mmjax.training.run_config import override

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
    for module in (run, comparison):
        monkeypatch.setattr(module, "runner_of", lambda _: lambda *a, **k: pytest.fail("again"))
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


@pytest.mark.parametrize("method", METHODS)
def test_presets_and_grids_fit_their_methods(method):
    start = preset(method, "lastfm_2k")
    assert isinstance(start.model, registry.METHODS[method].config_class())
    for point in grid(method):
        assert override(start, point).method == method


def test_it_trains_every_recommender_but_one_of_generated_ids():
    others = {*registry.of_kind("interactions", stages=True)} - {*METHODS}
    assert others == {"mmgrec"} and len(METHODS) == 17


def test_fields_of_all_and_of_one_method():
    flags = EXPERIMENT.parse(
        ["--fixed", "fit.epochs=50", "model.width=32"]
        + ["--set", "mig_gt.model.hops=2,1", "bm3.fit.epochs=7", "--seed", "3"]
    )
    mig, bm3 = (run.settings(flags, m, "lastfm_2k") for m in ("mig_gt", "bm3"))
    assert (mig.model.hops, mig.fit.epochs, mig.model.width, mig.seed) == ((2, 1), 50, 32, 3)
    assert (bm3.fit.epochs, bm3.model.width) == (7, 32)
    # What the flags fix stands in every trial, whatever the grid says.
    point = {"optim.negatives": 16}
    fixed = Bench(fixed=("optim.negatives=2",))
    assert run.settings(fixed, "freedom", "lastfm_2k", point).optim.negatives == 2


def test_a_smoke_run_is_small_whatever_the_grid_says():
    flags = Bench(smoke=True)
    start = run.settings(flags, "freedom", "tiktok", {"optim.negatives": 16})
    assert (start.optim.negatives, start.model.width, start.fit.epochs) == (4, 8, 4)
    model = run.settings(flags, "invrl", "tiktok", grid("invrl")[0]).model
    assert (model.environments, model.rounds, model.mask_epochs) == (3, 1, 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "nothing"], "--models nothing: choose from mig_gt"),
        (["--set", "model.hops=2"], "--set model.hops: begin with one of mig_gt"),
        (["--models", "bm3", "--set", "bm3.model.hopps=2"], "no field 'model.hopps'"),
        (["--fixed", "fit.epochs"], "field=value"),
        (["teach"], "no command 'teach'"),
    ],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(flags, message, capsys):
    assert main(flags) == 2
    assert message in capsys.readouterr().err
