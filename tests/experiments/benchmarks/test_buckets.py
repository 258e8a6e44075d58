"""The benchmark of histories without padding, on synthetic ones."""

import pytest
import tyro

from experiments.benchmarks.buckets import ours
from experiments.benchmarks.parts import PARTS


@pytest.mark.slow
def test_writes_figures_of_equal_losses(run_tiny):
    record, _ = run_tiny(ours)
    (case,) = record["cases"].values()
    assert {row["name"] for row in case} == {"buckets", "padded"}
    assert all(row["median_ms"] > 0 for row in case)


def test_losses_that_differ_are_found_out(monkeypatch):
    losses = iter([1.0, 1.01])
    monkeypatch.setattr(ours, "mean_loss", lambda *_: next(losses))
    monkeypatch.setattr(ours, "epoch", lambda *_: lambda: None)
    (part,) = [part for part in PARTS if part.topic == "buckets"]
    with pytest.raises(ValueError, match="differ"):
        ours.main(tyro.cli(ours.Options, args=part.tiny))


def test_unknown_cases_are_refused():
    with pytest.raises(ValueError, match="got 'all'"):
        ours.main(ours.Options(cases=("all",)))
