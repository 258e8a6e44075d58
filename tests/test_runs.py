"""Finished runs as objects, and what users do with a run's folder."""

import json
import shutil

import numpy as np
import optax
import pytest

import mmjax
from experiments.common.experiment import Experiment
from experiments.mig_gt import run as mig_gt
from experiments.mig_gt.config import EXPERIMENT
from experiments.tiger import run as tiger
from experiments.tiger.config import EXPERIMENT as TIGER
from mmjax.data import load_mmrec, prepare, save_mmrec
from mmjax.data.core.checks import DataError
from mmjax.errors import UserError
from mmjax.models.collaborative import BPRMFConfig
from mmjax.training import FitConfig, Hooks

QUICK = ["--fit.epochs", "2", "--fit.quiet", "--model.width", "8"]


def table(seed=0, items=20, users=24):
    draw = np.random.default_rng(seed)
    rows = [
        (f"user {u}", f"tt{i}", n)
        for u in range(users)
        for n, i in enumerate(draw.permutation(items)[:8])
    ]
    return dict(zip(("user", "item", "time"), map(list, zip(*rows, strict=True)), strict=True))


def films(items=20):
    return {"item": [f"tt{i}" for i in range(items)], "title": [f"Film {i}" for i in range(items)]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data folder and a run on it, of BPR-MF."""
    folder = tmp_path_factory.mktemp("runs")
    prepare(table(), out=folder / "mine", name="mine", k_core=0, items=films())
    train(EXPERIMENT, mig_gt, "bpr_mf", folder / "mine", folder / "run")
    return folder


def train(experiment: Experiment, story, method, data, workdir, *more):
    words = ["--method", method, "--data", str(data), "--workdir", str(workdir)]
    return experiment.main([*words, *QUICK, *more], lambda: story)


def test_a_run_recommends_titles_of_new_items(place):
    run = mmjax.load_run(place / "run")
    assert (run.method, run.config.width, run.seeds) == ("bpr_mf", 8, (0,))
    rows = run.recommend(["user 3", "user 1"], k=4)
    assert [r["user"] for r in rows[::4]] == ["user 3", "user 1"]
    assert [r["rank"] for r in rows] == [1, 2, 3, 4] * 2
    data, user = run.data, run.data.user_index("user 3")
    seen = set(data.train[data.train[:, 0] == user, 1].tolist())
    assert all(data.item_index(r["item"]) not in seen for r in rows[:4])
    assert all(r["title"] == f"Film {r['item'][2:]}" for r in rows)
    every = run.recommend(["user 3"], k=20, include_seen=True)
    assert len(every) == 20
    scores = np.array([r["score"] for r in every])
    assert (np.diff(scores) <= 0).all()
    # Scores are those of the vectors.
    vectors = run.vectors()
    want = vectors.items @ vectors.users[user]
    first = run.data.item_index(every[0]["item"])
    assert scores[0] == pytest.approx(float(want[first]), rel=1e-5)
    assert len(run.recommend(k=1)) == 24
    for bad, error in (({"users": ["user 99"]}, LookupError), ({"k": 0}, ValueError)):
        with pytest.raises(error):
            run.recommend(**bad)


def test_candidates_alone(place):
    run = mmjax.load_run(place / "run")
    allowed = ["tt1", "tt2", "tt3", "tt4", "tt5", "tt6"]
    rows = run.recommend(["user 0", "user 1"], k=3, candidates={"user 0": allowed})
    mine = [r["item"] for r in rows if r["user"] == "user 0"]
    assert mine and set(mine) <= set(allowed)
    whole = [r["item"] for r in run.recommend(["user 0"], k=20) if r["item"] in allowed]
    assert mine == whole[:3]
    assert len([r for r in rows if r["user"] == "user 1"]) == 3


def test_a_person_who_was_not_trained_on(place):
    run = mmjax.load_run(place / "run")
    rows = run.recommend_to([["tt1", "tt2"], ["tt3"]], k=5)
    assert [r["user"] for r in rows[::5]] == ["0", "1"]
    assert not {"tt1", "tt2"} & {r["item"] for r in rows[:5]}
    with pytest.raises(UserError, match="at least one item"):
        run.recommend_to([[]])
    with pytest.raises(LookupError):
        run.recommend_to([["tt99"]])


def test_data_that_moved_or_changed(place, tmp_path, capsys, monkeypatch):
    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "there").mkdir()
    shutil.copytree(place / "mine", tmp_path / "there" / "films")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["run"]["data"] == str(place / "mine")  # whole, from whatever directory it came
    moved = tmp_path / "there" / "films"
    a, b = (mmjax.load_run(tmp_path / "run", d).recommend(k=2) for d in (None, moved))
    assert a == b
    # The same content resumes under another path.
    assert train(EXPERIMENT, mig_gt, "bpr_mf", moved, tmp_path / "run") == 0
    grown = table(users=25)
    prepare(grown, out=tmp_path / "grown", name="mine", k_core=0, items=films())
    with pytest.raises(DataError, match="24 users then, 25 now; 1 users new, such as user 24"):
        mmjax.load_run(tmp_path / "run", tmp_path / "grown")
    prepare(table(seed=1), out=tmp_path / "other", name="mine", k_core=0, items=films())
    words = ["recommend", "--workdir", str(tmp_path / "run"), "--data", str(tmp_path / "other")]
    assert EXPERIMENT.main(words, lambda: mig_gt) == 2
    assert "the same users and items, but other interactions" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"no such folder.*data= \(--data\)"):
        mmjax.load_run(place / "run", tmp_path / "nowhere")


def test_a_user_without_a_training_row_gets_popular_items_by_that_name(place, tmp_path, capsys):
    data = load_mmrec(place / "mine")
    cold = data.rows(train=data.train[:, 0] != 5)
    save_mmrec(cold, tmp_path / "cold")
    assert train(EXPERIMENT, mig_gt, "bpr_mf", tmp_path / "cold", tmp_path / "run") == 0
    rows = mmjax.load_run(tmp_path / "run").recommend([data.user_id(5), data.user_id(6)], k=2)
    notes = [r.get("note") for r in rows]
    assert notes[:2] == ["no training row: popular items"] * 2 and notes[2:] == [None, None]
    most = np.bincount(cold.train[:, 1]).argmax()
    assert rows[0]["item"] == data.item_id(int(most))
    words = ["recommend", "--workdir", str(tmp_path / "run"), "--users", data.user_id(5)]
    capsys.readouterr()
    assert EXPERIMENT.main(words, lambda: mig_gt) == 0
    assert "(no training row: popular items)" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["none", "random-9:0:1", "random-9:1:0"])
def test_training_without_validation_or_test(tmp_path, split, capsys):
    data = prepare(table(), out=tmp_path / "d", name="d", k_core=0, split=split, items=films())
    assert train(EXPERIMENT, mig_gt, "bpr_mf", tmp_path / "d", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert ("no rows for validation" in said) == ("valid" in data.empty_splits())
    assert ("no rows for test" in said) == ("test" in data.empty_splits())
    assert (tmp_path / "run" / "report.html").exists()
    assert len(mmjax.load_run(tmp_path / "run").recommend(["user 0"], k=3)) == 3
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert bool(record["test"]) == ("test" not in data.empty_splits())


def test_runs_on_sequences(tmp_path, capsys):
    data = prepare(table(), out=tmp_path / "d", name="d", k_core=0, items=films())
    small = ["--model.layers", "1", "--model.heads", "1", "--optim.batch-size", "32"]
    assert train(TIGER, tiger, "sasrec", tmp_path / "d", tmp_path / "run", *small) == 0
    run = mmjax.load_run(tmp_path / "run")
    rows = run.recommend(["user 2"], k=3)
    history = set(run.data.of_user(run.data.user_index("user 2")).tolist())
    assert len(rows) == 3 and not history & {data.item_index(r["item"]) for r in rows}
    # The same history as a new person's gives the same answer.
    told = [run.data.item_id(int(i)) for i in run.data.of_user(run.data.user_index("user 2"))]
    again = run.recommend_to([told], k=3)
    assert [r["item"] for r in again] == [r["item"] for r in rows]
    with pytest.raises(UserError, match="does not score by inner products"):
        run.vectors()


def test_other_folders_are_refused(tmp_path, place):
    with pytest.raises(UserError, match="no checkpoint"):
        mmjax.load_run(tmp_path)
    shutil.copytree(place / "run", tmp_path / "run")
    for place_of in ("file", "run/checkpoints/x"):
        (tmp_path / place_of).write_text("")
    words = ["--data", str(place / "mine"), "--method", "bpr_mf"]
    assert EXPERIMENT.main([*words, "--workdir", str(tmp_path / "file")], lambda: mig_gt) == 2


@pytest.mark.slow
def test_a_finished_run_goes_on_to_more_epochs(place, tmp_path, capsys):
    def parameters(folder):
        return mmjax.load_run(folder).variables["params"]

    data, more = place / "mine", ["--fit.epochs", "5", "--fit.eval-every", "5"]
    assert train(EXPERIMENT, mig_gt, "bpr_mf", data, tmp_path / "whole", *more) == 0
    first = ["--fit.eval-every", "5"]
    assert train(EXPERIMENT, mig_gt, "bpr_mf", data, tmp_path / "parts", *first) == 0
    assert train(EXPERIMENT, mig_gt, "bpr_mf", data, tmp_path / "parts", *more) == 0
    lines = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    whole, parts = (
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("whole", "parts")
    )
    assert whole["loss"] == parts["loss"] and whole["recall@20"] == parts["recall@20"]
    assert parameters(tmp_path / "parts").keys() == parameters(tmp_path / "whole").keys()
    # Fewer epochs are another run, and so is a schedule over the whole length.
    assert train(EXPERIMENT, mig_gt, "bpr_mf", data, tmp_path / "parts", *first) == 2
    assert "fit.epochs: 5 -> 2" in capsys.readouterr().err
    cosine = ["--optim.schedule", "cosine"]
    assert train(EXPERIMENT, mig_gt, "bpr_mf", data, tmp_path / "cosine", *cosine) == 0
    assert train(EXPERIMENT, mig_gt, "bpr_mf", data, tmp_path / "cosine", *cosine, *more) == 2


@pytest.mark.slow
def test_a_run_starts_warm_on_a_grown_catalogue(place, tmp_path, capsys):
    rows = table()
    rows["user"] += ["new", "new", "user 0"]
    rows["item"] += ["tt1", "tt2", "tt20"]
    rows["time"] += [1, 2, 99]
    prepare(rows, out=tmp_path / "grown", name="mine", k_core=0, items=films(21))
    warm = ["--warm-start", str(place / "run"), "--optim.learning-rate", "0"]
    grown = tmp_path / "grown"
    assert train(EXPERIMENT, mig_gt, "bpr_mf", grown, tmp_path / "run", *warm) == 0
    assert "1 new users, 1 new items" in capsys.readouterr().out
    before, after = mmjax.load_run(place / "run"), mmjax.load_run(tmp_path / "run")
    old, new = before.vectors(), after.vectors()
    for raw in ("user 3", "user 20"):
        np.testing.assert_array_equal(
            old.users[before.data.user_index(raw)], new.users[after.data.user_index(raw)]
        )
    np.testing.assert_array_equal(
        old.items[before.data.item_index("tt7")], new.items[after.data.item_index("tt7")]
    )
    assert np.abs(new.users[after.data.user_index("new")]).max() > 0
    wrong = ["--warm-start", str(place / "run")]
    assert train(EXPERIMENT, mig_gt, "light_gcn", grown, tmp_path / "other", *wrong) == 2
    assert "bpr_mf; give a run of light_gcn" in capsys.readouterr().err


def test_a_run_of_the_library_alone_is_loaded_too(place, tmp_path):
    data = load_mmrec(place / "mine").filter_cold_users()
    config = BPRMFConfig(width=8)
    model = mmjax.models.collaborative.light_gcn.build_bpr_mf(config, mmjax.task(data))
    settings = mmjax.run_settings("bpr_mf", config, data, place / "mine")
    seen = []
    mmjax.fit(
        model,
        mmjax.pairs(data, 64),
        optax.adam(0.05),
        validate=mmjax.evaluator(data, "valid"),
        config=FitConfig(epochs=2, metric="recall@20", quiet=True, tensorboard=False),
        workdir=tmp_path / "run",
        run_config=settings,
        hooks=Hooks(on_epoch=seen.append),
    )
    assert [r["epoch"] for r in seen] == [1, 2]
    run = mmjax.load_run(tmp_path / "run")
    assert run.config == config and len(run.recommend(["user 3"], k=3)) == 3
    with pytest.raises(ValueError, match="method 'nothing' is none of"):
        mmjax.run_settings("nothing", config, data)
