"""The benchmark of histories without padding, on synthetic ones."""

import dataclasses
import json

import pytest

from experiments.benchmarks import buckets
from experiments.benchmarks.buckets import Case, Options
from experiments.tiger.presets import preset


@pytest.fixture
def small(monkeypatch):
    run = preset("tiger", "amazon_beauty")
    model = dataclasses.replace(
        run.model, width=8, layers=1, heads=1, head_width=8, hidden=8,
        ids=dataclasses.replace(run.model.ids, sizes=(16, 16)),
    )  # fmt: skip
    run = dataclasses.replace(run, model=model)
    monkeypatch.setattr(buckets, "preset", lambda *_: run)
    monkeypatch.setattr(buckets, "CASES", {"small": Case("tuned", 4, (1, 2))})
    return Options(data="chains", cases=("small",), windows=50, batch_size=16, rounds=1)


def test_writes_figures_of_equal_losses(small, tmp_path):
    out = tmp_path / "buckets.json"
    buckets.main(dataclasses.replace(small, out=out))
    record = json.loads(out.read_text())
    assert {"command", "commit", "versions", "cpu", "device", "clock"} <= record.keys()
    (case,) = record["cases"].values()
    assert {row["name"] for row in case} == {"buckets", "padded"}
    assert all(row["median_ms"] > 0 for row in case)


def test_losses_that_differ_are_found_out(small, monkeypatch):
    losses = iter([1.0, 1.01])
    monkeypatch.setattr(buckets, "mean_loss", lambda *_: next(losses))
    with pytest.raises(ValueError, match="differ"):
        buckets.main(small)


def test_unknown_cases_are_refused():
    with pytest.raises(ValueError, match="got 'all'"):
        buckets.main(Options(cases=("all",)))
