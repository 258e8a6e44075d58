"""The problem of the evaluation benchmark is what its page says."""

import numpy as np
import pytest

from experiments.benchmarks.evaluation import ours
from experiments.benchmarks.evaluation.problem import problem


def test_pairs_are_distinct_disjoint_and_cover_every_user():
    p = problem(200, 300, 1200, 225, 4)
    assert p.users.shape == (200, 4) and p.items.shape == (300, 4)
    packed = [pairs @ [1000, 1] for pairs in (p.seen, p.held_out)]
    assert all(len(np.unique(x)) == len(x) for x in packed)
    assert not np.intersect1d(*packed).size
    np.testing.assert_array_equal(np.unique(p.held_out[:, 0]), np.arange(200))
    again = problem(200, 300, 1200, 225, 4)
    np.testing.assert_array_equal(p.seen, again.seen)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="items above 50"):
        ours.main(ours.Options(items=50))


@pytest.mark.slow
@pytest.mark.process
def test_runs_without_a_peer(run_tiny):
    record, text = run_tiny(ours)
    assert "mmjax" in text and record["speed_up"] == {"mmjax": 1}
    assert "recall@20" in record["metrics"]["mmjax"]
