"""Quantisers against results stored from lucidrains' vector-quantize-pytorch; needs no PyTorch.

Agree, with the same codebooks, in outputs, codes, losses and gradients: VectorQuantize and
ResidualVQ straight through and with the rotation trick, residuals detached or not, a shared
codebook, quantiser dropout, and SimVQ; with moving averages also the codebooks, counts and sums
of three steps, with cosine similarity, masks and a shared codebook. Differ by design, and are not
compared: which rows revived codes become; the beam, whose score there is the sum of all levels'
errors instead of the last; the noise of Gumbel sampling, which there picks codes instead of
mixing them; a codebook learnt by gradient under cosine similarity, whose codes there are not
normalised; k-means' seeds.
"""

import numpy as np
import pytest

from tests.parity.common.records import stored, with_prefix
from tests.parity.quantise.case import CASES
from tests.parity.quantise.ours import assert_equal_records, ours

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", CASES)
def test_steps(name):
    record = stored("quantise", "quantise")
    assert_equal_records(ours(CASES[name]), with_prefix(record, f"{name}/"))


@pytest.mark.parametrize("entry", ["0/grad/x", "0/grad/codebook_1", "0/loss"])
def test_the_comparison_sees_a_small_difference(entry):
    record = stored("quantise", "quantise")
    expected = with_prefix(record, "rq_rotation/")
    expected[entry] = expected[entry] * np.float32(1.003)
    with pytest.raises(AssertionError, match=entry):
        assert_equal_records(ours(CASES["rq_rotation"]), expected)
