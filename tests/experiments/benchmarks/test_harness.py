"""Interleaved measuring, tables, and processes of peers."""

import sys
import time

import pytest

from experiments.benchmarks import harness


def test_rounds_interleave_and_rotate():
    calls = []
    candidates = {name: lambda name=name: calls.append(name) or 1.0 for name in "abc"}
    samples = harness.interleaved(candidates, rounds=3, warmup=0)
    assert "".join(calls) == "abcbcacab"
    assert samples == {name: [1.0] * 3 for name in "abc"}


def test_warmup_rounds_are_not_kept():
    seconds = iter(range(5))
    samples = harness.interleaved({"a": lambda: float(next(seconds))}, rounds=3, warmup=2)
    assert samples == {"a": [2.0, 3.0, 4.0]}


def test_speedups_are_medians_of_ratios_within_a_round():
    """A machine that slows down by ten in one round leaves the ratio alone."""
    samples = {"slow": [4.0, 40.0, 4.0], "fast": [1.0, 10.0, 2.0]}
    fast, slow = harness.summary(samples, "slow")
    assert (fast.name, fast.speedup, fast.median_ms, fast.best_ms) == ("fast", 4.0, 2000, 1000)
    assert (slow.name, slow.speedup) == ("slow", 1.0)
    text = harness.table([fast, slow], "slow", lambda row: "noted" * (row.name == "fast"))
    assert "4.00x" in text and "noted" in text


def test_a_timed_function_is_repeated_and_awaited():
    waited = []
    candidate = harness.timed(lambda: time.sleep(0.01) or 7, repeat=3, wait=waited.append)
    assert candidate() >= 0.01
    assert waited == [7, 7, 7]


def test_cpu_time_does_not_pass_while_asleep():
    assert harness.timed(lambda: time.sleep(0.05), clock=time.process_time)() < 0.05


@pytest.mark.process
def test_a_second_process_that_fails_says_so():
    with (
        pytest.raises(RuntimeError, match="second process ended"),
        harness.worker(sys.executable, "json.tool", "no such file"),
    ):
        pass


def test_a_comparison_is_printed_with_its_title(capsys):
    compared = harness.compare(
        {"fast": lambda: 1.0, "slow": lambda: 2.0}, rounds=2, title="Two", note=lambda row: "noted"
    )
    assert compared.baseline == "slow" and compared.speed_up == {"fast": 2.0, "slow": 1.0}
    assert compared.seconds == {"fast": [1.0, 1.0], "slow": [2.0, 2.0]}
    assert capsys.readouterr().out.splitlines()[:2] == ["", "Two"]


def test_the_clock_of_the_options():
    assert harness.clock(harness.Options()) is time.perf_counter
    assert harness.clock(harness.Options(cpu_time=True)) is time.process_time


def test_a_peer_runs_where_its_packages_are():
    options = harness.PeerOptions()
    assert harness.peer_python(options, "json") == sys.executable
    assert harness.peer_python(options, "json", "no_such_package") is None
    named = harness.PeerOptions(torch_python="python9")
    assert harness.peer_python(named, "no_such_package") == "python9"
    with harness.peer(options, "no.topic.ours", ("no_such_package",)) as peer:
        assert not peer.candidates and not peer.about


@pytest.mark.process
def test_a_peer_is_given_its_inputs(tmp_path, monkeypatch):
    topic = tmp_path / "topic"
    topic.mkdir()
    (topic / "peer.py").write_text(
        "from experiments.benchmarks import harness\n"
        "import os\n"
        "inputs = harness.peer_inputs()\n"
        "threads = float(os.environ['OMP_NUM_THREADS'])\n"
        "about = {'cpu_time': inputs.cpu_time}\n"
        "harness.serve({'sum': lambda: sum(inputs.x), 'threads': lambda: threads}, about)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    options = harness.PeerOptions(cpu_time=True, one_thread=True)
    with harness.peer(options, "topic.ours", ("json",), x=[1, 2]) as peer:
        assert peer.about == {"cpu_time": True}
        assert {name: ask() for name, ask in peer.candidates.items()} == {"sum": 3, "threads": 1}
