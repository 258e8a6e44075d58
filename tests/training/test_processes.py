"""Two processes joined by jax.distributed train as one process with two devices does."""

import dataclasses
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmjax.training.pipeline import Pipeline
from tests.training.run_pipeline import FIT, story
from tests.training.run_toy import train

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.process, pytest.mark.slow]


def start(workdir, options):
    return twins("run_toy", str(workdir), json.dumps(options))


def twins(script, *arguments):
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", f"tests.training.{script}", *arguments]
    return [
        subprocess.Popen(
            [*command, str(n), "2", str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]


def finish(processes):
    """What each process printed last; kills, as SIGTERM does not end a distributed process."""
    try:
        outputs = [p.communicate(timeout=240) for p in processes]
    finally:
        for p in processes:
            p.kill()
    assert [p.returncode for p in processes] == [0, 0], (
        outputs[0][1][-2000:] + outputs[1][1][-2000:]
    )
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


@pytest.mark.parametrize("mode", ["jit", "shard_map", "pmap"])
def test_two_processes_equal_two_devices(tmp_path, mode):
    options = {"epochs": 3, "mode": mode}
    expected = train(None, options | {"devices": 2})
    for printed in finish(start(tmp_path / "run", options)):
        assert printed["why"] == "epochs"
        np.testing.assert_allclose(
            printed["losses"], [r["loss"] for r in expected.history], rtol=1e-6
        )


def test_a_signal_to_one_stops_both_and_they_resume(tmp_path):
    options = {"epochs": 150}
    expected = train(None, options | {"devices": 2})
    processes = start(tmp_path / "run", options)
    file = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (file.exists() and file.stat().st_size):
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    assert [p["why"] for p in finish(processes)] == ["signal", "signal"]
    for printed in finish(start(tmp_path / "run", options)):
        assert printed["why"] == "epochs"
        np.testing.assert_allclose(
            printed["losses"], [r["loss"] for r in expected.history], rtol=1e-4
        )


def test_an_error_of_the_first_process_reaches_the_other(tmp_path):
    finish(start(tmp_path / "run", {"epochs": 2}))
    processes = start(tmp_path / "run", {"epochs": 3})
    errors = [p.communicate(timeout=240)[1] for p in processes]
    for p in processes:
        p.kill()
    assert all("fit.epochs: 2 -> 3" in text for text in errors)


def test_the_first_process_makes_stages_and_both_read_them(tmp_path):
    expected = story(Pipeline(seed=5), fit=dataclasses.replace(FIT, devices=2))
    for again in (False, True):
        one, two = finish(twins("run_pipeline", str(tmp_path / "run")))
        assert set(one["calls"]) == (set() if again else {"first", "vectors", "centred", "last"})
        assert two["calls"] == []
        assert one | {"calls": 0} == two | {"calls": 0}
        np.testing.assert_allclose(one["scale"], expected[1].scale, rtol=1e-5)
        np.testing.assert_allclose(one["best"], expected[3].best_metric, rtol=1e-4)
