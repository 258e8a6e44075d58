"""MetaMMF against stored results of its authors' code; needs no PyTorch."""

import pytest

from tests.parity.common.comparison import assert_agrees
from tests.parity.common.problem import inputs
from tests.parity.common.records import stored, with_prefix
from tests.parity.common.starts import assert_starts_alike
from tests.parity.meta_mmf.case import CASES, STARTS
from tests.parity.meta_mmf.ours import our_model

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", CASES)
def test_loss_parts_gradients_vectors_and_scores(name):
    record = stored("meta_mmf", name)
    assert_agrees(our_model(CASES[name], record), record)


@pytest.mark.parametrize("name", STARTS)
def test_parameters_start_alike(name):
    spreads = with_prefix(stored("meta_mmf", "start"), f"{name}/")
    assert_starts_alike(our_model(STARTS[name], inputs(STARTS[name])), spreads)
