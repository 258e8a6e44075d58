"""Two processes joined by jax.distributed train as one process with two devices does."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.training.run_toy import train

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.process, pytest.mark.slow]


def start(workdir, options):
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.run_toy", str(workdir), json.dumps(options)]
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
