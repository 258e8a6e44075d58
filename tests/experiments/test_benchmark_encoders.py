"""The encoder benchmark on tiny models, with a stand-in for its peer."""

import importlib
import json

import numpy as np
import pytest

from experiments.benchmarks import encoders


def test_checksum_sees_order_and_not_length():
    x = np.arange(6.0)
    assert encoders.checksum(x) == pytest.approx(encoders.checksum(x.reshape(2, 3)))
    assert encoders.checksum(x) != pytest.approx(encoders.checksum(x[::-1]), abs=1e-3)
    fixed = np.cos(np.arange(6.0))
    assert encoders.checksum(fixed) == pytest.approx(np.linalg.norm(fixed))


@pytest.mark.parametrize("case", encoders.CASES)
def test_inputs_fit_their_model(case):
    model, rows, length = encoders.CASES[case]
    x = encoders.inputs(case, encoders.SHAPES["tiny"][model])
    assert x.shape == ((rows, length) if model == "minilm" else (rows, 16, 16, 3))


def test_without_a_peer_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="--torch-python"):
        encoders.main([])


@pytest.mark.slow
def test_beside_transformers(tmp_path):
    pytest.importorskip("transformers")
    out = tmp_path / "e.json"
    encoders.main(["--sizes", "tiny", "--rounds", "1", "--out", str(out)])
    cases = json.loads(out.read_text())["cases"]
    assert list(cases) == list(encoders.CASES)
    assert all(case["speed_up"]["transformers"] == 1 for case in cases.values())
