"""The command that runs every part on one accelerator."""

import fcntl
import json

import pytest

from experiments.benchmarks import gpu
from experiments.benchmarks.parts import PARTS, Part


def parts_of(options):
    status = gpu.main(options)
    return status, json.loads(options.out.read_text())


@pytest.mark.process
def test_a_part_that_fails_is_recorded_and_the_others_go_on(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(gpu, "PARTS", [Part("fusion", (), ("--rounds", "many")), *PARTS[5:6]])
    options = gpu.Options(tmp_path / "gpu.json", parts=("fusion", "quantise"), tiny=True)
    status, content = parts_of(options)
    assert status == 1
    assert content["parts"]["fusion"]["status"] == "failed"
    assert "many" in content["parts"]["fusion"]["error"]
    done = content["parts"]["quantise"]
    assert done["status"] == "ok" and done["seconds"] > 0
    assert "gradient, 16 rows" in done["record"]["steps"]
    assert content["device"] == done["record"]["device"] and content["versions"]["jax"]
    assert "== quantise (2 of 2" in capfd.readouterr().out


@pytest.mark.process
def test_a_part_ends_with_its_time_and_all_it_started(tmp_path):
    lock = tmp_path / "lock"
    child = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "time.sleep(600)"
    )
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, {str(lock)!r}])"
    )
    result = gpu.guarded(["-c", code], 3.0)
    assert result["status"] == "timed out" and result["exit"] is None
    with lock.open("w") as file:  # waits for ever if the inner process lives
        fcntl.flock(file, fcntl.LOCK_EX)


def test_parts_after_the_limit_are_left_out(tmp_path):
    options = gpu.Options(tmp_path / "gpu.json", total_seconds=0.0)
    status, content = parts_of(options)
    assert status == 0
    assert list(content["parts"]) == list(gpu.NAMES)
    assert {part["status"] for part in content["parts"].values()} == {"left out"}


def test_no_test_marked_gpu_is_no_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "guarded", lambda *_: {"status": "failed", "seconds": 1.0, "exit": 5})
    status, content = parts_of(gpu.Options(tmp_path / "gpu.json", parts=("tests",)))
    assert status == 0
    assert content["parts"]["tests"]["error"] == "no test is marked gpu"


def test_unknown_parts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--parts nothing: choose from tests, propagation"):
        gpu.main(gpu.Options(tmp_path / "gpu.json", parts=("nothing",)))


def test_the_time_of_all_parts_is_below_eight_minutes():
    assert gpu.Options().total_seconds <= 470


def test_every_topic_is_in_the_registry():
    folder = gpu.harness.ROOT / "experiments" / "benchmarks"
    topics = {file.parent.name for file in folder.glob("*/ours.py")}
    assert topics == {part.topic for part in PARTS}
    for part in PARTS:
        assert part.tiny and part.accelerator
        assert (folder / part.topic / "peer.py").exists() == part.peer
        assert (folder / part.topic / "__main__.py").exists()
