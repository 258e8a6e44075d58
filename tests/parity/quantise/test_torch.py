"""Quantisers against lucidrains' vector-quantize-pytorch on random problems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parity.common.records import stored, with_prefix
from tests.parity.quantise.case import CASES, Case
from tests.parity.quantise.ours import assert_equal_records, ours

torch = pytest.importorskip("torch")
pytest.importorskip("vector_quantize_pytorch")

from tests.parity.quantise.theirs import reference  # noqa: E402

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(["vq", "rq"]))
    learning = draw(st.sampled_from(["gradient", "ema"]))
    levels = 1 if kind == "vq" else draw(st.integers(2, 4))
    sizes = tuple(draw(st.lists(st.integers(2, 9), min_size=levels, max_size=levels)))
    return Case(
        kind,
        learning,
        draw(st.sampled_from(["straight_through", "rotation"])),
        draw(st.sampled_from(["detach", "ste_residual"])),
        sizes,
        masked=kind == "vq" and draw(st.booleans()),
        decay=draw(st.sampled_from([0.5, 0.8, 0.99])),
        steps=draw(st.integers(1, 2)),
        width=draw(st.integers(2, 6)),
        rows=draw(st.integers(1, 30)),
        seed=draw(st.integers(0, 2**20)),
    )


@settings(max_examples=15)
@given(cases())
def test_random_problems(case):
    assert_equal_records(ours(case), reference(case))


@pytest.mark.parametrize("name", CASES)
def test_reference_is_current(name):
    record = stored("quantise", "quantise")
    kept, fresh = with_prefix(record, f"{name}/"), reference(CASES[name])
    assert kept.keys() == fresh.keys()
    for key, value in fresh.items():
        np.testing.assert_allclose(kept[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
