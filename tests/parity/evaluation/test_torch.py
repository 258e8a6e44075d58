"""Metrics of the full ranking against PyTorch's, which share no code with ours."""

import numpy as np
import pytest

from experiments.benchmarks import evaluation

pytestmark = pytest.mark.parity


def test_both_sides_of_the_benchmark_agree():
    pytest.importorskip("torch")
    p = evaluation.problem(300, 400, 1500, 900, 8)
    p = p._replace(users=np.round(2 * p.users), items=np.round(2 * p.items))
    # Distinct scores: PyTorch orders equal ones as it likes.
    p = p._replace(
        users=np.concatenate([p.users, np.ones((300, 1))], 1).astype(np.float32),
        items=np.concatenate([p.items, np.arange(400)[:, None] / 512], 1).astype(np.float32),
    )
    ours = evaluation.jax_side(p)()
    for batch in (7, 4096):
        theirs = evaluation.torch_side(p, batch)()
        assert theirs.keys() == ours.keys()
        for name, value in ours.items():
            assert theirs[name] == pytest.approx(value, abs=1e-6), name
