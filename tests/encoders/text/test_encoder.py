"""Texts to vectors: batches of similar length, the folder's word, and the real MiniLM."""

import dataclasses
import json
import os
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.encoders.loading.weights import WeightsError
from mmjax.encoders.text.bert import Bert, BertConfig, bert_sources
from mmjax.encoders.text.encoder import load_text_encoder
from mmjax.encoders.text.token_batches import token_batches
from tests.encoders.sentences import SENTENCES
from tests.parity.common.records import stored
from tests.parity.encoders.case import publish
from tests.parity.encoders.ours import by_published_name

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "dress", "shoe", "##s", "blue"]
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 20,
}
TEXTS = ["a red dress", "", "shoes", "a " * 50, "Blue SHOES", "green", "a red dress"]
POOLING = "sentence_transformers.models."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A published model with a vocabulary of eleven words."""
    path = tmp_path_factory.mktemp("model")
    config = BertConfig.from_json(CONFIG)
    params = Bert(config).init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    params = jax.tree.map(lambda x: x * 20 if x.ndim > 1 else x, params)
    publish(path, CONFIG, by_published_name(params, bert_sources(config)))
    (path / "vocab.txt").write_text("\n".join(WORDS))
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return load_text_encoder(folder, devices=jax.devices()[:1])


@pytest.fixture
def told(folder, tmp_path):
    """A copy of the folder with other JSON files beside it; call it."""

    def copy(files=None):
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / "1_Pooling").mkdir()
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(json.dumps(content))
        return tmp_path

    return copy


def test_tokens(encoder):
    tokens = encoder.tokenize(TEXTS)
    assert tokens[:3] == [[2, 5, 6, 7, 3], [2, 3], [2, 8, 9, 3]]
    assert tokens[3] == [2, *[5] * 18, 3]
    assert tokens[4:6] == [[2, 10, 8, 9, 3], [2, 1, 3]]


def test_vectors_follow_their_definition(encoder):
    vectors = encoder.encode(np.array(TEXTS), progress=False)
    assert vectors.shape == (7, 8)
    assert vectors.dtype == np.float32
    for n in (0, 3):
        last = _last(encoder, jnp.array(encoder.tokenize([TEXTS[n]])))[0]
        assert_allclose(vectors[n], last.mean(0) / np.linalg.norm(last.mean(0)), atol=1e-5)


def _last(encoder, ids):
    run = jax.jit(encoder.model.apply)
    return np.asarray(run({"params": encoder.params}, ids).last)


@settings(max_examples=5)
@given(st.permutations(range(len(TEXTS))), st.integers(1, 9))
def test_neither_order_nor_batch_size_matters(encoder, order, size):
    want = encoder.encode(TEXTS, progress=False)
    got = encoder.encode([TEXTS[n] for n in order], batch_size=size, progress=False)
    assert_allclose(got, want[list(order)], atol=1e-5)


def test_no_texts(encoder):
    assert encoder.encode([]).shape == (0, 8)


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 17))
def test_batches_hold_every_text_once_in_few_shapes(lengths, size):
    tokens = [[7] * n for n in lengths]
    found = list(token_batches(tokens, size, 0, 40))
    assert sorted(n for b in found for n in b.texts) == list(range(len(lengths)))
    for b in found[:-1]:
        assert len(b.ids) == len(b.texts) == size
    for b in found:
        assert b.ids.shape == b.mask.shape
        assert len(b.texts) <= len(b.ids) < 2 * len(b.texts) or len(b.ids) == 1
        longest = max(lengths[n] for n in b.texts)
        assert longest <= b.ids.shape[1] <= max(8, 2 * longest)
        assert_array_equal(b.mask.sum(1)[: len(b.texts)], [lengths[n] for n in b.texts])
        assert_array_equal(b.ids, 7 * b.mask)
    assert len({b.ids.shape[1] for b in found}) <= 6


def test_programs_are_compiled_once_a_shape(encoder):
    fresh = replace(encoder)
    fresh.encode(["a red dress"] * 9, batch_size=4, progress=False)
    assert fresh._run.compiled._cache_size() == 2  # 4 rows and 1 row, of 8 positions
    fresh.encode(["a"] * 21, batch_size=4, progress=False)
    assert fresh._run.compiled._cache_size() == 2


def test_a_bar_counts_the_texts(encoder, capsys):
    encoder.encode(TEXTS, batch_size=2)
    assert "7/7" in capsys.readouterr().err


def test_the_first_token_and_no_normalisation(folder):
    plain = load_text_encoder(folder, pooling="cls", normalise=False, max_length=4)
    ids = jnp.array([[2, 5, 6, 3]])
    assert plain.tokenize(["a red dress"]) == ids.tolist()
    got = plain.encode(["a red dress"], progress=False)[0]
    assert_allclose(got, _last(plain, ids)[0, 0], atol=1e-5)


def test_the_folder_tells_pooling_length_and_normalisation(told):
    modules = [{"type": f"{POOLING}Transformer"}, {"type": f"{POOLING}Pooling"}]
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    path = told(
        {
            "modules.json": modules,
            "1_Pooling/config.json": modes,
            "sentence_bert_config.json": {"max_seq_length": 6},
        }
    )
    found = load_text_encoder(path)
    assert (found.pooling, found.normalise, found.max_length) == ("cls", False, 6)
    assert "cls pooling, 6 tokens" in repr(found)
    (path / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(WeightsError, match="pooling by pooling_mode_max_tokens is not supported"):
        load_text_encoder(path)
    assert load_text_encoder(path, pooling="mean").pooling == "mean"
    (path / "modules.json").write_text(json.dumps([*modules, {"type": f"{POOLING}LSTM"}]))
    with pytest.raises(WeightsError, match="modules LSTM are not supported"):
        load_text_encoder(path)
    (path / "modules.json").write_text(json.dumps(modules[::-1]))
    with pytest.raises(WeightsError, match="order Pooling, Transformer is not supported"):
        load_text_encoder(path)


def _dense(path, modules, layers, activation, seed=0):
    """Add dense layers of these widths to a folder, and give their weights."""
    from safetensors.numpy import save_file

    draw, weights = np.random.default_rng(seed), []
    for n, (width, to, bias) in enumerate(layers):
        own = {"linear.weight": draw.normal(size=(to, width)).astype(np.float32)}
        if bias:
            own["linear.bias"] = draw.normal(size=to).astype(np.float32)
        (path / f"{n}_Dense").mkdir(exist_ok=True)
        save_file(own, path / f"{n}_Dense/model.safetensors")
        said = {"in_features": width, "out_features": to, "bias": bias}
        said["activation_function"] = f"torch.nn.modules.{activation}"
        (path / f"{n}_Dense/config.json").write_text(json.dumps(said))
        modules = [*modules, {"type": f"{POOLING}Dense", "path": f"{n}_Dense"}]
        weights.append((own["linear.weight"], own.get("linear.bias", 0)))
    (path / "modules.json").write_text(json.dumps(modules))
    return weights


@pytest.mark.parametrize("activation", ["linear.Identity", "activation.Tanh"])
def test_dense_layers_stand_behind_the_pooling(told, encoder, activation):
    path = told()
    start = [{"type": f"{POOLING}Transformer"}]
    (one, first), (two, _) = _dense(path, start, [(8, 5, True), (5, 3, False)], activation)
    found = load_text_encoder(path)
    f = np.tanh if activation.endswith("Tanh") else np.asarray
    pooled = load_text_encoder(path, layers=True, normalise=False).encode(TEXTS, progress=False)
    assert pooled.shape == (7, 2, 8)
    expected = f(f(pooled[:, -1] @ one.T + first) @ two.T)
    vectors = found.encode(TEXTS, progress=False)
    assert vectors.shape == (7, 3) and found.width == 3
    assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)
    assert found.digest != encoder.digest


def test_dense_layers_that_do_not_fit_are_refused(told):
    path, start = told(), [{"type": f"{POOLING}Transformer"}]
    _dense(path, start, [(8, 5, True), (4, 3, True)], "linear.Identity")
    with pytest.raises(WeightsError, match="1_Dense.*in_features 4 .* have width 5"):
        load_text_encoder(path)
    _dense(path, start, [(8, 5, True)], "activation.Softsign")
    with pytest.raises(WeightsError, match="Softsign' is not supported, only Identity"):
        load_text_encoder(path)
    _dense(path, start, [(8, 5, True)], "linear.Identity")
    (path / "0_Dense/model.safetensors").write_bytes(b"1234")
    with pytest.raises(WeightsError, match="truncated or no safetensors"):
        load_text_encoder(path)
    (path / "0_Dense/config.json").unlink()
    with pytest.raises(WeightsError, match="0_Dense.*config.json is missing"):
        load_text_encoder(path)


def test_a_tokenizer_file_comes_before_the_words(told, encoder):
    path = told()
    encoder.tokenizer.save(str(path / "tokenizer.json"))
    (path / "vocab.txt").unlink()
    assert load_text_encoder(path).tokenize(TEXTS) == encoder.tokenize(TEXTS)
    (path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"tokenizer\.json is no tokenizer"):
        load_text_encoder(path)


def test_upper_case_words_where_the_folder_keeps_them(told):
    path = told({"tokenizer_config.json": {"do_lower_case": False}})
    assert load_text_encoder(path).tokenize(["Red red"]) == [[2, 1, 6, 3]]


def test_what_does_not_fit_is_refused(told, encoder):
    path = told()
    with pytest.raises(ValueError, match="max_length 21: the model reads 1 to 20 tokens"):
        load_text_encoder(path, max_length=21)
    (path / "vocab.txt").write_text("\n".join([*WORDS, "more"]))
    with pytest.raises(WeightsError, match="knows 12 tokens, the model 11"):
        load_text_encoder(path)
    (path / "vocab.txt").write_text("a\nred")
    with pytest.raises(WeightsError, match=r"vocab\.txt is not of BERT .*: copy tokenizer\.json"):
        load_text_encoder(path)
    (path / "vocab.txt").unlink()
    with pytest.raises(WeightsError, match=r"neither tokenizer\.json nor vocab\.txt"):
        load_text_encoder(path)
    (path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(WeightsError, match="'gpt2' is not among the text encoders"):
        load_text_encoder(path)
    with pytest.raises(ValueError, match="text 1 is None"):
        encoder.encode(np.array(["a", None], object))
    with pytest.raises(ValueError, match="a sequence of strings"):
        encoder.encode("a red dress")
    with pytest.raises(ValueError, match="positive batch size"):
        encoder.encode(["a"], batch_size=0)


@pytest.mark.skipif("MMJAX_MINILM" not in os.environ, reason="MMJAX_MINILM names no folder")
def test_real_minilm():
    minilm = stored("encoders", "minilm")
    encoder = load_text_encoder(os.environ["MMJAX_MINILM"])
    assert (encoder.width, encoder.max_length, encoder.pooling) == (384, 256, "mean")
    for ids, want in zip(encoder.tokenize(SENTENCES), minilm["ids"], strict=True):
        assert ids == want[want >= 0].astype(int).tolist()
    assert_allclose(encoder.encode(SENTENCES, progress=False), minilm["vectors"], atol=1e-5)


def settings(name, **content):
    return {name: content}


OPTIONS = "config_sentence_transformers.json"


def test_the_default_prompt_stands_before_every_text(told):
    prompts = {"query": "blue ", "passage": ""}
    path = told(settings(OPTIONS, prompts=prompts, default_prompt_name="query"))
    found, plain = load_text_encoder(path), load_text_encoder(path, prompt="")
    assert found.tokenize(["shoes"]) == plain.tokenize(["blue shoes"])
    assert_allclose(
        found.encode(["shoes"], progress=False),
        plain.encode(["blue shoes"], progress=False),
        atol=1e-6,
    )
    assert found.digest != plain.digest
    (path / OPTIONS).write_text(json.dumps({"prompts": {}, "default_prompt_name": "query"}))
    with pytest.raises(WeightsError, match="'query' is none of the prompts"):
        load_text_encoder(path)


def test_vectors_are_cut_and_texts_lowered_where_the_folder_says_so(told):
    path = told(settings(OPTIONS, truncate_dim=3) | settings("tokenizer_config.json"))
    found = load_text_encoder(path)
    assert found.width == 3
    whole = dataclasses.replace(found, dimensions=None)
    assert_allclose(
        found.encode(["shoes"], progress=False),
        whole.encode(["shoes"], progress=False)[:, :3],
        atol=1e-6,
    )
    (path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    cased = load_text_encoder(path)
    assert cased.tokenize(["Blue"]) != cased.tokenize(["blue"])
    (path / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    lowered = load_text_encoder(path)
    assert lowered.tokenize(["Blue"]) == cased.tokenize(["blue"])
    assert lowered.digest != cased.digest


def test_lengths_and_sides_of_the_tokenizer(told):
    path = told(settings("tokenizer_config.json", model_max_length=4))
    found = load_text_encoder(path)
    assert found.max_length == 4
    assert found.tokenize(["a red dress"]) == found.tokenize(["a red"])
    left = {"truncation_side": "left", "model_max_length": 4}
    (path / "tokenizer_config.json").write_text(json.dumps(left))
    with pytest.raises(WeightsError, match="'left' is not supported with vocab.txt"):
        load_text_encoder(path)
    found.tokenizer.save(str(path / "tokenizer.json"))
    last = load_text_encoder(path)
    assert last.tokenize(["a red dress"]) == last.tokenize(["red dress"])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (OPTIONS, {"model_type": "SparseEncoder"}, "model_type SparseEncoder"),
        (OPTIONS, {"whitening": [1]}, "whitening may change vectors"),
        ("sentence_bert_config.json", {"model_args": {"a": 1}}, "model_args may change vectors"),
    ],
)
def test_settings_that_are_not_built_are_refused(told, name, content, says):
    path = told({name: content})
    with pytest.raises(WeightsError, match=says):
        load_text_encoder(path)


def test_half_a_surrogate_costs_no_batch(encoder):
    tokens = encoder.tokenize(["red \ud83d dress", "shoes"])
    assert tokens[1] == encoder.tokenize(["shoes"])[0]
    assert encoder.tokenize(["\U0001f600"])[0] == encoder.tokenize(["\ud83d\ude00"])[0]
