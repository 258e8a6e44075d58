"""The timing helper, and the propagation benchmark on a tiny graph."""

import json
import sys
import time

import pytest

from experiments.benchmarks import propagation, timing


def test_rounds_interleave_and_rotate():
    calls = []
    candidates = {name: lambda name=name: calls.append(name) or 1.0 for name in "abc"}
    samples = timing.interleaved(candidates, rounds=3, warmup=0)
    assert "".join(calls) == "abcbcacab"
    assert samples == {name: [1.0] * 3 for name in "abc"}


def test_warmup_rounds_are_not_kept():
    seconds = iter(range(5))
    samples = timing.interleaved({"a": lambda: float(next(seconds))}, rounds=3, warmup=2)
    assert samples == {"a": [2.0, 3.0, 4.0]}


def test_speedups_are_medians_of_ratios_within_a_round():
    """A machine that slows down by ten in one round leaves the ratio alone."""
    samples = {"slow": [4.0, 40.0, 4.0], "fast": [1.0, 10.0, 2.0]}
    fast, slow = timing.summary(samples, "slow")
    assert (fast.name, fast.speedup, fast.median_ms, fast.best_ms) == ("fast", 4.0, 2000, 1000)
    assert (slow.name, slow.speedup) == ("slow", 1.0)
    text = timing.table([fast, slow], "slow", {"fast": "noted"})
    assert "4.00x" in text and "noted" in text


def test_a_timed_function_is_repeated_and_awaited():
    waited = []
    candidate = timing.timed(lambda: time.sleep(0.01) or 7, repeat=3, wait=waited.append)
    assert candidate() >= 0.01
    assert waited == [7, 7, 7]


def test_cpu_time_does_not_pass_while_asleep():
    assert timing.timed(lambda: time.sleep(0.05), clock=time.process_time)() < 0.05


@pytest.mark.process
def test_a_second_process_that_fails_says_so():
    with (
        pytest.raises(RuntimeError, match="second process ended"),
        timing.worker(sys.executable, "json.tool", "no such file"),
    ):
        pass


@pytest.mark.parametrize("name", ["tiny", "baby"])
def test_synthetic_graphs_have_the_stated_size(name):
    pairs, n_users, n_items, _ = propagation.interactions(name, None)
    assert len({(u, i) for u, i in pairs}) == len(pairs) == {"tiny": 300, "baby": 118_551}[name]
    assert pairs.min() >= 0 and pairs[:, 0].max() < n_users and pairs[:, 1].max() < n_items


def test_unknown_graphs_are_refused():
    with pytest.raises(ValueError, match="graphs are tiny, baby, large"):
        propagation.interactions("huge", None)


def test_benchmark_writes_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(propagation.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "new" / "propagation.json"
    propagation.main(propagation.Options(out=out, graphs=("tiny",), rounds=1))
    record = json.loads(out.read_text())
    assert {"command", "commit", "versions", "cpu", "device"} <= record.keys()
    tasks = record["graphs"]["tiny"]["tasks"]
    names = {row["name"] for row in tasks["constant"]["rows"]}
    assert {"mmjax csr", "mmjax ell", "jraph GraphConvolution"} <= names
    assert all(row["median_ms"] > 0 for task in tasks.values() for row in task["rows"])
    assert "learned weights" in capsys.readouterr().out
