"""The encoder benchmark on tiny models."""

import numpy as np
import pytest

from experiments.benchmarks.encoders import ours
from experiments.benchmarks.encoders.problem import CASES, SHAPES, checksum, inputs


def test_checksum_sees_order_and_not_length():
    x = np.arange(6.0)
    assert checksum(x) == pytest.approx(checksum(x.reshape(2, 3)))
    assert checksum(x) != pytest.approx(checksum(x[::-1]), abs=1e-3)
    fixed = np.cos(np.arange(6.0))
    assert checksum(fixed) == pytest.approx(np.linalg.norm(fixed))


@pytest.mark.parametrize("case", CASES)
def test_inputs_fit_their_model(case):
    model, rows, length = CASES[case]
    x = inputs(case, SHAPES["tiny"][model])
    assert x.shape == ((rows, length) if model == "minilm" else (rows, 16, 16, 3))


def test_without_a_peer_mmjax_is_measured_alone(run_tiny):
    record, text = run_tiny(ours)
    assert list(record["cases"]) == list(CASES)
    assert all(case["speed_up"] == {"mmjax": 1} for case in record["cases"].values())
    assert "ViT-B/16, 8 images" in text
