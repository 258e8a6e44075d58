"""MPNet's size, refusals and text door. What it computes is compared in tests/parity."""

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from mmjax.encoders.loading.weights import WeightsError
from mmjax.encoders.text.bert import Bert
from mmjax.encoders.text.encoder import load_text_encoder
from mmjax.encoders.text.mpnet import config_from_json
from tests.encoders.sentences import word_tokenizer
from tests.parity.common.records import stored, with_prefix
from tests.parity.encoders.case import CASES, publish

PUBLISHED = {"model_type": "mpnet", "max_position_embeddings": 514, "layer_norm_eps": 1e-5}
WORDS = ("<s>", "<pad>", "</s>", "[UNK]", "a", "red", "dress")


def test_published_size():
    model = Bert(config_from_json(PUBLISHED))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 109_486_464
    assert model.config.longest == 512


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "model_type 'bert' is none of mpnet"),
        ({"hidden_act": "mish"}, "hidden_act 'mish' is not supported"),
        ({"relative_attention_num_buckets": 8}, "relative_attention_num_buckets 8 is not"),
    ],
)
def test_what_is_not_built_is_refused(change, said):
    with pytest.raises(WeightsError, match=said):
        config_from_json({**PUBLISHED, **change})


def test_texts(tmp_path):
    tensors = with_prefix(stored("encoders", "mpnet"), "state/")
    kept = {f"mpnet.{name}": value for name, value in tensors.items() if "pooler" not in name}
    publish(tmp_path, CASES["mpnet"], kept)
    word_tokenizer(WORDS, "<s>", "</s>").save(str(tmp_path / "tokenizer.json"))
    encoder = load_text_encoder(tmp_path)
    assert encoder.tokenize(["a red dress", ""]) == [[0, 4, 5, 6, 2], [0, 2]]
    got = encoder.encode(["a red dress", "a"], progress=False)
    alone = encoder.encode(["a"], progress=False)  # the same without padding beside it
    assert_allclose(got[1:], alone, atol=1e-5)
    assert_allclose((got**2).sum(1), 1, rtol=1e-5)
