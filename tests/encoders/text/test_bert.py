"""BERT's family: sizes, positions, masks. What it computes is compared in tests/parity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.encoders.loading.weights import WeightsError
from mmjax.encoders.text.bert import Bert, BertConfig, load_bert, pad_positions, sources
from tests.parity.encoders.case import CASES, publish
from tests.parity.encoders.ours import by_published_name

SMALL = BertConfig.from_json(CASES["bert"])
IDS = jnp.array([[5, 9, 2, 3, 0, 0], [1, 2, 3, 4, 5, 6]])


@pytest.fixture(scope="module")
def params():
    start = jax.jit(Bert(SMALL).init)
    return start(jax.random.key(0), IDS)["params"]


@functools.partial(
    jax.jit,
    static_argnames=("train",),
)
def _run(params, *args, **kwargs):
    return Bert(SMALL).apply({"params": params}, *args, **kwargs)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"model_type": "bert"}, 109_482_240),
        (
            {
                "model_type": "bert",
                "hidden_size": 384,
                "num_hidden_layers": 6,
                "intermediate_size": 1536,
            },
            22_713_216,
        ),
        (
            {
                "model_type": "roberta",
                "max_position_embeddings": 514,
                "type_vocab_size": 1,
            },
            124_645_632,
        ),
        (
            {
                "model_type": "roberta",
                "max_position_embeddings": 514,
                "type_vocab_size": 1,
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
                "pooler": False,
            },
            354_310_144,
        ),
    ],
    ids=["bert-base", "minilm-l6", "roberta-base", "roberta-large"],
)
def test_published_sizes(config, count):
    pooler = config.get("pooler", True)
    model = Bert(BertConfig.from_json(config, pooler=pooler))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


def test_defaults_are_minilm():
    minilm = {
        "model_type": "bert",
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "intermediate_size": 1536,
    }
    assert BertConfig() == BertConfig.from_json(minilm)


def test_positions_of_roberta():
    ids = jnp.array([[0, 5, 6, 2, 1, 1]])
    assert_array_equal(pad_positions(ids, 1), [[2, 3, 4, 5, 1, 1]])
    config = BertConfig(positions=514, pad_id=1, pad_positions=True)
    assert config.longest == 512


def test_all_states_and_the_pooler(params):
    out = _run(params, IDS)
    assert len(out.hidden) == 3
    assert_array_equal(out.last, out.hidden[2])
    assert_allclose(np.asarray(out.hidden[0]).mean(-1), 0, atol=1e-6)
    head = params["pooler"]
    want = np.tanh(
        np.asarray(out.last)[:, 0] @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    )
    assert_allclose(out.pooled, want, atol=1e-5)


def test_padding_changes_no_token(params):
    mask = IDS != 0
    out = _run(params, IDS, mask)
    assert_array_equal(out.last, _run(params, IDS).last)  # told by the token of padding
    other = _run(params, jnp.where(mask, IDS, 7), mask)
    assert_array_equal(out.last[0, :4], other.last[0, :4])
    assert_allclose(out.last[0, :4], _run(params, IDS[:1, :4]).last[0], atol=1e-5)


def test_types_of_tokens_count(params):
    types = jnp.zeros_like(IDS)
    assert_array_equal(_run(params, IDS).last, _run(params, IDS, None, types).last)
    assert (
        float(jnp.abs(_run(params, IDS).last - _run(params, IDS, None, types + 1).last).max()) > 0
    )


def test_too_long_a_row(params):
    with pytest.raises(ValueError, match="10 tokens in a row, the model reads 9"):
        Bert(SMALL).apply({"params": params}, jnp.ones((1, 10), jnp.int32))


def test_dropout_in_training_only(params, getkey):
    runs = [_run(params, IDS, train=True, rngs={"dropout": getkey()}).last for _ in range(2)]
    assert float(jnp.abs(runs[0] - runs[1]).max()) > 0


def test_a_folder_without_pooler_and_with_a_head(tmp_path, params):
    tensors = by_published_name(params, sources(SMALL))
    pooled = load_bert(publish(tmp_path / "a", CASES["bert"], tensors))[0]
    assert pooled.config.pooler
    kept = {f"bert.{k}": v for k, v in tensors.items() if not k.startswith("pooler")}
    folder = publish(tmp_path / "b", CASES["bert"], {**kept, "cls.predictions.bias": np.ones(17)})
    model, loaded = load_bert(folder, dtype=jnp.bfloat16)
    assert not model.config.pooler
    out = jax.jit(model.apply)({"params": loaded}, IDS)
    assert out.pooled is None
    assert out.last.dtype == jnp.bfloat16
    assert_allclose(out.last.astype(jnp.float32), _run(params, IDS).last, atol=0.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "distilbert"}, "model_type 'distilbert' is none of bert, roberta"),
        ({"hidden_act": "mish"}, "hidden_act 'mish' is not supported"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"is_decoder": True}, "is_decoder True is not supported"),
    ],
)
def test_what_is_not_built_is_refused(change, said):
    with pytest.raises(WeightsError, match=said):
        BertConfig.from_json({**CASES["bert"], **change})


def test_another_size_than_the_file(tmp_path, params):
    tensors = by_published_name(params, sources(SMALL))
    folder = publish(tmp_path, {**CASES["bert"], "num_hidden_layers": 3}, tensors)
    with pytest.raises(WeightsError, match=r"missing: encoder\.layer\.2\..* and 11 more"):
        load_bert(folder)
    folder = publish(tmp_path, {**CASES["bert"], "num_hidden_layers": 1}, tensors)
    with pytest.raises(WeightsError, match=r"not part of the model: encoder\.layer\.1\."):
        load_bert(folder)
