"""The IncDSI benchmark on a small problem, without its peer."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.incdsi import ours
from experiments.benchmarks.incdsi.problem import BALANCE, DECAY, NEW, OLD, problem
from mmjax.models.retrieval.incdsi import Margins, loss


def test_writes_its_figures(run_tiny):
    record, text = run_tiny(ours)
    case = record["documents"]["30"]
    assert case["speed_up"] == {"mmjax": 1} and len(case["seconds"]["mmjax"]) == 1
    assert "30 documents" in text


def test_solves_what_it_says():
    inputs = problem(30, 8, 2)
    rows, queries, solved = ours.solve(inputs)()
    assert rows.shape == queries.shape == (32, 8)
    margins = Margins(BALANCE, NEW, OLD, DECAY)
    new, starts = jnp.asarray(inputs.new), jnp.asarray(inputs.starts)
    for n, (query, start) in enumerate(zip(new, starts, strict=True)):
        ends = [
            float(loss(row, rows, queries, 30 + n, query, margins)) for row in (start, rows[30 + n])
        ]
        assert ends[1] < ends[0]
        assert ends[1] == pytest.approx(float(solved.loss[n]), rel=1e-3, abs=1e-6)
    np.testing.assert_array_equal(rows[:30], inputs.rows)
