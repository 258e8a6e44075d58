"""Encoders against results stored from PyTorch's transformers; needs no PyTorch."""

import numpy as np
import pytest

from tests.parity.common import records
from tests.parity.common.records import stored, with_prefix
from tests.parity.encoders.case import CASES, publish
from tests.parity.encoders.ours import assert_equal_results, by_published_name, load, results

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", CASES)
def test_every_layer_and_every_gradient(name, tmp_path):
    header, record = records.load(records.reference("encoders", name))
    assert header["config"] == CASES[name]
    folder = publish(tmp_path, CASES[name], with_prefix(record, "state/"))
    got = results(folder, CASES[name]["model_type"], record)
    assert_equal_results(got, record, rtol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_parameters_go_back_to_their_published_names(name, tmp_path):
    record = stored("encoders", name)
    tensors = with_prefix(record, "state/")
    folder = publish(tmp_path, CASES[name], tensors)
    _, params, sources = load(folder, CASES[name]["model_type"])
    back = by_published_name(params, sources)
    assert back.keys() == tensors.keys()
    for key, value in back.items():
        np.testing.assert_array_equal(value, tensors[key], err_msg=key)


def test_the_comparison_sees_a_wrong_gradient(tmp_path):
    record = stored("encoders", "bert_relu")
    folder = publish(tmp_path, CASES["bert_relu"], with_prefix(record, "state/"))
    name = "grad/embeddings.word_embeddings.weight"
    record[name] = record[name] * np.float64(1.001)
    with pytest.raises(AssertionError, match="word_embeddings"):
        assert_equal_results(results(folder, "bert", record), record, rtol=2e-5)
