"""Stages are done once, found by their key, and go on where they were stopped."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optax
import pytest

from mmjax.training.artefacts import ARRAYS, MANIFEST
from mmjax.training.best import Best
from mmjax.training.config import FitConfig
from mmjax.training.pipeline import Pipeline, pipelines
from mmjax.training.rundir import RunDirectoryError
from mmjax.training.signals import Interrupted
from mmjax.training.stages import load_stage
from tests.training import run_pipeline, toy
from tests.training.run_pipeline import FIT, Vectors, story
from tests.training.runs import assert_same_arrays, stop_at

ALL = {"first", "vectors", "centred", "last"}


def told(run, **options):
    """The results of the story, and which stages did something."""
    run_pipeline.CALLS.clear()
    results = story(run, **options)
    return results, set(run_pipeline.CALLS)


def content(results):
    first, vectors, centred, last = results
    vectors = vectors.users, np.array(vectors.scale)
    return first.variables, vectors, centred, last.variables, last.state


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run and its results."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return workdir, told(Pipeline(workdir, seed=5))[0]


def copy(workdir, to):
    return Path(subprocess.run(["cp", "-r", workdir, to], check=True) and to)


def test_a_finished_run_is_read(whole, tmp_path):
    workdir, results = whole
    run = Pipeline(workdir, seed=5)
    again, worked = told(run)
    assert worked == set()
    assert_same_arrays(content(again), content(results))
    assert isinstance(again[1], Vectors) and again[1].names == {"from": "first"}
    assert list(run.records) == ["first", "vectors", "centred", "last"]
    assert run.records["last"]["score"] == again[3].best_metric[0]
    assert all(figures["seconds"] >= 0 for figures in run.records.values())


def test_without_a_workdir_it_is_the_same(whole):
    results, worked = told(Pipeline(seed=5))
    assert worked == ALL
    assert_same_arrays(content(results), content(whole[1]))


def test_how_it_is_run_may_change(whole):
    fit = dataclasses.replace(FIT, steps_per_call=3, keep=5)
    assert told(Pipeline(whole[0], seed=5), fit=fit)[1] == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.03}, r"first belongs.*\n  run\.settings\.rate: 0\.02 -> 0\.03"),
        ({"shift": 1.0}, r"centred belongs.*\n  run\.inputs\.shift: "),
        ({"fit": dataclasses.replace(FIT, epochs=5)}, r"fit\.epochs: 4 -> 5"),
    ],
)
def test_another_run_in_the_folder_is_refused(whole, options, message):
    with pytest.raises(RunDirectoryError, match=message):
        story(Pipeline(whole[0], seed=5), **options)


@pytest.mark.parametrize(
    "options", [{"seed": 6}, {"seed": 5, "identity": {"data": "b"}}, {"seed": 5, "kind": None}]
)
def test_seed_identity_and_kind_belong_to_the_key(whole, options):
    if "kind" in options:
        with pytest.raises(RunDirectoryError, match="another kind"):
            Pipeline(whole[0], seed=5).make("last", dict)
        return
    with pytest.raises(RunDirectoryError, match="seeds|identity"):
        story(Pipeline(whole[0], **options))


def test_shared_stages_are_found_and_changed_ones_stand_beside(tmp_path):
    def run():
        return Pipeline(tmp_path, seed=5, shared=True)

    results, worked = told(run())
    assert worked == ALL
    assert told(run())[1] == set()
    assert told(run(), last_rate=0.05)[1] == {"last"}
    assert told(run(), shift=1.0)[1] == {"centred"}
    # What is behind the first stage is made of other inputs then.
    changed, worked = told(run(), rate=0.03)
    assert worked == ALL
    again, worked = told(run())
    assert worked == set()
    assert_same_arrays(content(again), content(results))
    assert len(list(tmp_path.glob("first-*"))) == 2 and len(list(tmp_path.glob("last-*"))) == 3
    with pytest.raises(ValueError, match="several stages first: choose one of first-"):
        load_stage(tmp_path, "first")
    assert_same_arrays(run().load("vectors-" + key_of(tmp_path, changed)).users, changed[1].users)


def key_of(workdir, results):
    (name,) = (
        path.parent.name
        for path in workdir.glob(f"vectors-*/{ARRAYS}")
        if np.array_equal(load_stage(workdir, path.parent.name).users, results[1].users)
    )
    return name.partition("-")[2]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (ARRAYS, lambda path: path.write_bytes(path.read_bytes()[:-40])),
        (ARRAYS, lambda path: path.unlink()),
        (MANIFEST, lambda path: path.write_text(path.read_text().replace("first", "fjrst"))),
        (MANIFEST, lambda path: path.unlink()),
    ],
)
def test_a_damaged_artefact_is_made_again(whole, tmp_path, file, damage):
    workdir = copy(whole[0], tmp_path / "run")
    damage(workdir / "vectors" / file)
    with pytest.warns(UserWarning, match="vectors is unfinished or damaged.*made again"):
        results, worked = told(Pipeline(workdir, seed=5))
    assert worked == {"vectors"}
    assert_same_arrays(content(results), content(whole[1]))
    assert (workdir / "damaged" / "vectors-1").is_dir()


def test_a_lost_manifest_of_a_trained_stage_is_written_again(whole, tmp_path):
    workdir = copy(whole[0], tmp_path / "run")
    (workdir / "first" / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        load_stage(workdir, "first")
    assert told(Pipeline(workdir, seed=5))[1] == set()
    assert isinstance(load_stage(workdir, "first"), Best)


def test_a_signal_interrupts_and_the_same_call_resumes(whole, tmp_path, monkeypatch):
    def train(validate):
        return Pipeline(tmp_path, seed=5).train(
            "first",
            toy.objective(),
            toy.source(),
            optax.adam(0.02),
            {"rate": 0.02},
            validate=validate,
            config=FIT,
        )

    with pytest.raises(Interrupted, match="same command resumes"):
        train(stop_at(2))
    with pytest.raises(RuntimeError, match="out of luck"):
        monkeypatch.setattr(run_pipeline, "vectors_of", broken)
        story(Pipeline(tmp_path, seed=5))
    assert not (tmp_path / "vectors").exists()
    monkeypatch.undo()
    results, worked = told(Pipeline(tmp_path, seed=5))
    assert worked == {"vectors", "centred", "last"}
    assert_same_arrays(content(results), content(whole[1]))


def broken(first):
    raise RuntimeError("out of luck")


@pytest.mark.process
@pytest.mark.parametrize(
    "signs",
    [
        ["last/metrics.jsonl"],
        pytest.param(
            ["first/metrics.jsonl", "first/checkpoints/4", "vectors", "last/metrics.jsonl"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_between_and_within_stages_is_bit_identical(whole, tmp_path, signs):
    """Each sign is a file that tells how far the process has come."""
    workdir = tmp_path / "run"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.training.run_pipeline", str(workdir)]
    for sign in signs:
        process = subprocess.Popen(command, cwd=root)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (workdir / sign).exists():
                break
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert subprocess.run(command, cwd=root, check=False).returncode == 0
    results, worked = told(Pipeline(workdir, seed=5))
    assert worked == set()
    assert_same_arrays(content(results), content(whole[1]))


def test_a_stage_is_loaded_without_training(whole):
    workdir, (first, vectors, centred, last) = whole
    best = load_stage(workdir, "last")
    assert best.finished and best.metric == last.best_metric
    assert_same_arrays(best.variables, last.variables)
    loaded = Pipeline(workdir).load("vectors")
    assert type(loaded).__name__ == "Vectors" and loaded.scale == vectors.scale
    assert_same_arrays(load_stage(workdir, "centred"), centred)
    with pytest.raises(FileNotFoundError, match="no stage 'other'; there are: centred, first,"):
        load_stage(workdir, "other")


def test_trained_and_read_results_are_the_same_input(whole, tmp_path):
    run = Pipeline(tmp_path)
    made = run.make("a", run_pipeline.vectors_of, (whole[1][0],), kinds=(Vectors,))
    best = load_stage(whole[0], "first")
    read = run.make("a", run_pipeline.vectors_of, (best,), kinds=(Vectors,))
    assert_same_arrays(made.users, read.users)


def test_figures_are_kept_beside_their_stage(tmp_path):
    run = Pipeline(tmp_path)
    with pytest.raises(KeyError, match="no stage 'a' yet"):
        run.record("a", {"x": 1.0})
    run.make("a", dict)
    run.record("a", {"x": np.float32(0.5), "y": [1, 2]})
    run.record("a", {"x": 0.25})
    again = Pipeline(tmp_path)
    again.make("a", dict)
    assert again.records == run.records
    assert json.loads((tmp_path / "a" / "record.json").read_text()) == run.records["a"]
    assert run.records["a"] | {"seconds": 0} == {"seconds": 0, "x": 0.25, "y": [1, 2]}


def test_a_name_is_taken_once(tmp_path):
    run = Pipeline()
    run.make("a", dict, settings=1)
    run.make("a", dict, settings=1)
    with pytest.raises(ValueError, match="another key"):
        run.make("a", dict, settings=2)
    for name in ("", "a/b", "..", "a-b", "damaged"):
        with pytest.raises(ValueError, match="cannot name a stage"):
            run.make(name, dict)


def test_seeds_have_folders_of_their_own(tmp_path):
    for run in pipelines(tmp_path, (3, 4), identity=FitConfig(), shared=True):
        assert run.make("seed", lambda run=run: run.seed) == run.seed
    assert [p.parent.name for p in sorted(tmp_path.glob("*/seed-*"))] == ["seed_3", "seed_4"]
    assert [run.workdir for run in pipelines(None, (0, 1))] == [None, None]


def test_classes_have_to_be_named(tmp_path):
    with pytest.raises(TypeError, match="stage a makes Vectors: name the class in `kinds`"):
        Pipeline(tmp_path).make("a", lambda: [Vectors(np.ones(2), 1.0, {})])
    assert not (tmp_path / "a").exists()
