"""The propagation benchmark on a tiny graph."""

import pytest

from experiments.benchmarks.propagation import ours as propagation


@pytest.mark.parametrize("name", ["tiny", "baby"])
def test_synthetic_graphs_have_the_stated_size(name):
    pairs, n_users, n_items, _ = propagation.interactions(name, None)
    assert len({(u, i) for u, i in pairs}) == len(pairs) == {"tiny": 300, "baby": 118_551}[name]
    assert pairs.min() >= 0 and pairs[:, 0].max() < n_users and pairs[:, 1].max() < n_items


def test_unknown_graphs_are_refused():
    with pytest.raises(ValueError, match="graphs are tiny, baby, large"):
        propagation.interactions("huge", None)


def test_writes_its_figures(run_tiny):
    record, text = run_tiny(propagation)
    tasks = record["graphs"]["tiny"]["tasks"]
    names = {row["name"] for row in tasks["constant"]["rows"]}
    assert {"mmjax csr", "mmjax ell", "jraph GraphConvolution"} <= names
    assert all(row["median_ms"] > 0 for task in tasks.values() for row in task["rows"])
    assert "learned weights" in text
