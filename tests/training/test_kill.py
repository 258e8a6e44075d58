"""SIGKILL at any moment, and the same command again: as if nothing had happened."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.training.run_toy import train

ROOT = Path(__file__).parents[2]
OPTIONS = {"epochs": 60, "keep": 2}


def start(workdir):
    command = [sys.executable, "-m", "tests.training.run_toy", str(workdir), json.dumps(OPTIONS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish(process):
    process.communicate()
    return process.returncode


def records(workdir):
    file = workdir / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def kill_while_training(workdir, rng):
    """Start, wait until the run writes, and kill it a little later."""
    process = start(workdir)
    before = records(workdir)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        # On a resumption the file shrinks first, to what the checkpoint knows.
        if records(workdir) not in (0, before):
            break
        time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.5))
    process.kill()
    return finish(process)


def outcome(workdir):
    with np.load(f"{workdir}.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.process
@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_and_resumed_is_bit_identical(tmp_path, kills):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert finish(start(whole)) == 0
    rng = random.Random(kills)
    killed = [kill_while_training(parts, rng) for _ in range(kills)]
    assert -signal.SIGKILL in killed
    assert finish(start(parts)) == 0

    expected, found = outcome(whole), outcome(parts)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)

    def timeless(workdir):
        rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in r.items() if k not in ("seconds", "elapsed")} for r in rows]

    assert timeless(parts) == timeless(whole)
    assert len(timeless(parts)) == 2 * OPTIONS["epochs"]
    assert not list((parts / "checkpoints").glob("*tmp*"))
    assert len(list((parts / "checkpoints").iterdir())) <= 2


@pytest.mark.slow
@pytest.mark.process
def test_another_process_sees_the_same_bits(tmp_path):
    assert finish(start(tmp_path / "run")) == 0
    result = train(tmp_path / "run", OPTIONS)
    for name, x in outcome(tmp_path / "run").items():
        if name.startswith("state/params"):
            place = result.state.params
            for part in name.split("/")[2:]:
                place = place[part]
            np.testing.assert_array_equal(place, x)
