"""The latency benchmark on a small catalogue."""

import jax.numpy as jnp
import pytest

from experiments.benchmarks.latency import ours as latency
from mmjax.retriever import TopK


@pytest.mark.slow
def test_writes_figures_of_searches_that_agree(run_tiny):
    record, _ = run_tiny(latency, "--users", "1", "3")
    assert [batch["users"] for batch in record["models"]["tiny"]] == [1, 3]
    for batch in record["models"]["tiny"]:
        assert {row["name"] for row in batch["rows"]} == {"cache", "no cache"}
        assert all(row["median_ms"] > 0 for row in batch["rows"])


def test_searches_that_differ_are_found_out():
    found = TopK(jnp.arange(10)[None], jnp.zeros((1, 10)))
    latency.check_same(found, found)
    with pytest.raises(ValueError, match="0.0% of the items and 100.0% of the scores"):
        latency.check_same(found, found._replace(scores=found.scores + 1))
