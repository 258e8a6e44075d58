"""The problem of the evaluation benchmark is what its page says."""

import numpy as np
import pytest

from experiments.benchmarks import evaluation


def test_pairs_are_distinct_disjoint_and_cover_every_user():
    p = evaluation.problem(200, 300, 1200, 225, 4)
    assert p.users.shape == (200, 4) and p.items.shape == (300, 4)
    packed = [pairs @ [1000, 1] for pairs in (p.seen, p.held_out)]
    assert all(len(np.unique(x)) == len(x) for x in packed)
    assert not np.intersect1d(*packed).size
    np.testing.assert_array_equal(np.unique(p.held_out[:, 0]), np.arange(200))
    again = evaluation.problem(200, 300, 1200, 225, 4)
    np.testing.assert_array_equal(p.seen, again.seen)


def test_bad_sizes_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["evaluation", "--items", "50"])
    with pytest.raises(SystemExit):
        evaluation.main()
    assert "--items above 50" in capsys.readouterr().err


@pytest.mark.process
def test_runs_without_a_peer(monkeypatch, capsys, tmp_path):
    out = tmp_path / "result.json"
    flags = ["--users", "40", "--items", "60", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["evaluation", *flags])
    evaluation.main()
    assert "mmjax" in capsys.readouterr().out
    assert '"recall@20"' in out.read_text()
