"""The quantiser benchmark on a small problem, without its peer."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmarks.quantise import ours
from experiments.benchmarks.quantise.problem import MODES, problem
from mmjax.blocks.quantisation.encoding import decode, encode


def test_writes_its_figures(run_tiny):
    record, text = run_tiny(ours)
    assert (record["levels"], record["codes"]) == (2, 8)
    assert list(record["steps"]) == [f"{mode}, 16 rows" for mode in MODES]
    for step in record["steps"].values():
        assert step["speed_up"] == 1
        assert np.isfinite(step["first_loss"])
    assert "mmjax ema, revival, 16 rows" in text


@pytest.mark.parametrize("mode", MODES)
def test_the_loss_is_the_same_for_all_modes_and_falls(mode):
    inputs = problem(16, 2, 8, 4)
    run, first = ours.training_step(mode, inputs)
    books = [jnp.asarray(b) for b in inputs.codebooks]
    codes = encode(jnp.asarray(inputs.x), books)
    errors = [np.square(inputs.x - decode(codes[:, :m], books)).mean() for m in (1, 2)]
    reconstruction = np.square(decode(codes, books) - inputs.target).mean()
    assert_allclose(first, reconstruction + sum(errors), rtol=1e-5)
    values = [float(run()[1]) for _ in range(100)]
    assert min(values) < first
