"""AD-DRL against stored results of its authors' code; needs no PyTorch."""

import pytest

from tests.parity.ad_drl.case import CASES, STARTS, labels
from tests.parity.ad_drl.ours import our_model
from tests.parity.common.comparison import assert_agrees
from tests.parity.common.problem import inputs
from tests.parity.common.records import stored, with_prefix
from tests.parity.common.starts import assert_starts_alike

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", CASES)
def test_loss_parts_gradients_vectors_and_scores(name):
    record = stored("ad_drl", name)
    assert_agrees(our_model(CASES[name], record), record)


def test_parameters_start_alike_but_for_biases():
    case = STARTS["ad_drl"]
    attributes = {f"labels/{n}": x for n, x in labels(case).items()}
    spreads = with_prefix(stored("ad_drl", "start"), "ad_drl/")
    assert_starts_alike(our_model(case, inputs(case) | attributes), spreads, biases_at_zero=True)
