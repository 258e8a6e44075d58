"""The IncDSI benchmark on a small problem, without its peer."""

import importlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import incdsi
from mmjax.models.retrieval.incdsi import Margins, loss

SIZES = ["--documents", "30", "--width", "8", "--new", "2", "--rounds", "1"]


def test_writes_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "incdsi.json"
    incdsi.main([*SIZES, "--out", str(out)])
    record = json.loads(out.read_text())
    case = record["documents"]["30"]
    assert case["speed_up"] == {"mmjax": 1} and len(case["seconds"]["mmjax"]) == 1
    assert "30 documents" in capsys.readouterr().out


def test_solves_what_it_says():
    given = incdsi.problem(30, 8, 2)
    rows, queries, found = incdsi.ours(given)()
    assert rows.shape == queries.shape == (32, 8)
    margins = Margins(incdsi.BALANCE, incdsi.NEW, incdsi.OLD, incdsi.DECAY)
    new, starts = jnp.asarray(given.new), jnp.asarray(given.starts)
    for n, (query, start) in enumerate(zip(new, starts, strict=True)):
        ends = [
            float(loss(row, rows, queries, 30 + n, query, margins)) for row in (start, rows[30 + n])
        ]
        assert ends[1] < ends[0]
        assert ends[1] == pytest.approx(float(found.loss[n]), rel=1e-3, abs=1e-6)
    np.testing.assert_array_equal(rows[:30], given.rows)
