"""MetaMMF and AD-DRL against stored results of their authors' code; needs no PyTorch."""

import pytest

from tests.parity.official_cases import CASES
from tests.parity.official_others_ours import MODELS
from tests.parity.official_ours import assert_agrees, stored

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.model in ("meta_mmf", "ad_drl")])
def test_loss_parts_gradients_vectors_and_scores(name):
    case, record = stored(name)
    assert_agrees(MODELS[case.model](case, record), record)
