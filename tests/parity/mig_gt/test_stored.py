"""MIG-GT against results stored from an independent PyTorch implementation; needs no PyTorch."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.parity.mig_gt.case import CASES, MODES, stored_case
from tests.parity.mig_gt.ours import assert_equal_results, ours, x64

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_vectors_losses_gradients_and_statistics(name, mode):
    case, record = stored_case(name)
    assert case == CASES[name]
    assert_equal_results(ours(case, record, mode), record, mode, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["baby", "three_modalities", "item_embeddings", "gamma"])
def test_double_precision(name, mode):
    case, record = stored_case(name)
    with x64():
        result = ours(case, record, mode, jnp.float64)
    assert_equal_results(result, record, mode, rtol=1e-6, floor=1e-3)


def test_the_comparison_sees_a_wrong_gradient():
    case, record = stored_case("one_modality")
    name = "eval/grad/user_embedding"
    record[name] = record[name] * np.float64(1.001)
    with pytest.raises(AssertionError, match="user_embedding"):
        assert_equal_results(ours(case, record, "eval"), record, "eval", rtol=1e-5)
