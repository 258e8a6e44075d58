"""The quantiser benchmark on a small problem, without its peer."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmarks import quantize
from mmjax.blocks.quantisation.encoding import decode, encode

SIZES = ["--levels=2", "--codes=8", "--width=4", "--repeat=1", "--rounds=1"]


def test_writes_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(quantize.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "quantize.json"
    quantize.main([*SIZES, "--batches", "16", "--out", str(out)])
    record = json.loads(out.read_text())
    assert {"command", "commit", "versions", "cpu", "cores", "levels", "codes"} <= record.keys()
    assert list(record["steps"]) == [f"{mode}, 16 rows" for mode in quantize.MODES]
    for step in record["steps"].values():
        assert step["speed_up"] == 1
        assert np.isfinite(step["first_loss"])
    assert "mmjax ema, revival, 16 rows" in capsys.readouterr().out


@pytest.mark.parametrize("mode", quantize.MODES)
def test_the_loss_is_the_same_for_all_modes_and_falls(mode):
    given = quantize.problem(16, 2, 8, 4)
    run, first = quantize.ours(mode, given)
    books = [jnp.asarray(b) for b in given.codebooks]
    codes = encode(jnp.asarray(given.x), books)
    errors = [np.square(given.x - decode(codes[:, :m], books)).mean() for m in (1, 2)]
    reconstruction = np.square(decode(codes, books) - given.target).mean()
    assert_allclose(first, reconstruction + sum(errors), rtol=1e-5)
    values = [float(run()[1]) for _ in range(100)]
    assert min(values) < first
