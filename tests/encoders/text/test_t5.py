"""T5's encoder alone: the same as in the whole, out of either kind of file, and its texts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.encoders.loading.weights import WeightsError
from mmjax.encoders.text.encoder import load_text_encoder
from mmjax.encoders.text.t5 import load_t5_encoder
from tests.encoders.sentences import word_tokenizer
from tests.parity.common.records import stored, with_prefix
from tests.parity.encoders.case import CASES, publish

WORDS = ("<pad>", "</s>", "[UNK]", "a", "red", "dress", "shoe")


@pytest.fixture(scope="module")
def record():
    return stored("encoders", "t5")


def test_the_memory_of_the_whole_model(record, tmp_path):
    tensors = with_prefix(record, "state/")
    model, params = load_t5_encoder(publish(tmp_path / "whole", CASES["t5"], tensors))
    ids, mask = jnp.asarray(record["ids"]), jnp.asarray(record["mask"])
    out = jax.jit(model.apply)({"params": params}, ids, mask)
    assert_allclose(out.last, record["memory"], atol=2e-5 * np.abs(record["memory"]).max())
    assert len(out.hidden) == 3
    assert_array_equal(out.hidden[0], tensors["shared.weight"][record["ids"]])
    assert out.pooled is None

    alone = {k: v for k, v in tensors.items() if not k.startswith(("decoder", "lm_head"))}
    same, again = load_t5_encoder(publish(tmp_path / "alone", CASES["t5"], alone))
    assert same == model
    jax.tree.map(assert_array_equal, again, params)
    del alone["encoder.final_layer_norm.weight"]
    with pytest.raises(WeightsError, match=r"missing: encoder\.final_layer_norm\.weight"):
        load_t5_encoder(publish(tmp_path / "less", CASES["t5"], alone))


def test_texts(record, tmp_path):
    publish(tmp_path, CASES["t5"], with_prefix(record, "state/"))
    word_tokenizer(WORDS, "a", "</s>").save(str(tmp_path / "tokenizer.json"))
    encoder = load_text_encoder(tmp_path, devices=jax.devices()[:1])
    assert repr(encoder) == "TextEncoder(T5Encoder, width 8, mean pooling, 512 tokens)"
    got = encoder.encode(["red dress", "shoe"], progress=False)
    assert_allclose(got[1:], encoder.encode(["shoe"], progress=False), atol=1e-5)
    assert len(encoder.digest) == 64
    with pytest.raises(ValueError, match="pooling 'own': the model in .* has no pooler"):
        load_text_encoder(tmp_path, pooling="own")
