"""The latency benchmark on a small catalogue."""

import dataclasses
import json

import jax.numpy as jnp
import pytest

from experiments.benchmarks import latency
from experiments.benchmarks.latency import Options
from experiments.tiger.presets import preset
from mmjax.retriever import TopK


@pytest.mark.slow
def test_writes_figures_of_searches_that_agree(tmp_path, monkeypatch):
    small = dataclasses.replace(preset("tiger", "amazon_beauty").model, history=3, layers=1)
    run = dataclasses.replace(preset("tiger", "amazon_beauty"), model=small)
    monkeypatch.setattr(latency, "preset", lambda *_: run)
    out = tmp_path / "latency.json"
    latency.main(Options(out, models=("tuned",), users=(1, 3), items=50, beams=12, rounds=1))
    record = json.loads(out.read_text())
    assert {"command", "commit", "versions", "cpu", "device", "clock"} <= record.keys()
    assert [batch["users"] for batch in record["models"]["tuned"]] == [1, 3]
    for batch in record["models"]["tuned"]:
        assert {row["name"] for row in batch["rows"]} == {"cache", "no cache"}
        assert all(row["median_ms"] > 0 for row in batch["rows"])


def test_searches_that_differ_are_found_out():
    found = TopK(jnp.arange(10)[None], jnp.zeros((1, 10)))
    latency.check_same(found, found)
    with pytest.raises(ValueError, match="0.0% of the items and 100.0% of the scores"):
        latency.check_same(found, found._replace(scores=found.scores + 1))
