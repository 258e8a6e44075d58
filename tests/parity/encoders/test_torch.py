"""Encoders against PyTorch's transformers on random small configurations."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.encoders.text.encoder import load_text_encoder
from tests.encoders.sentences import SENTENCES
from tests.parity.common.records import stored
from tests.parity.encoders.case import CASES, inputs, publish
from tests.parity.encoders.ours import assert_equal_results, by_published_name, load, results

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.parity.encoders import theirs as peer  # noqa: E402

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@st.composite
def bert_configs(draw):
    family = draw(st.sampled_from(["bert", "roberta", "mpnet"]))
    heads = draw(st.integers(1, 3))
    return {
        "model_type": family,
        "vocab_size": draw(st.integers(5, 20)),
        "hidden_size": heads * draw(st.integers(2, 4)),
        "num_hidden_layers": draw(st.integers(1, 2)),
        "num_attention_heads": heads,
        "intermediate_size": draw(st.integers(1, 9)),
        "max_position_embeddings": draw(st.integers(10, 14)),
        "layer_norm_eps": draw(st.sampled_from([1e-2, 1e-3])),
        "hidden_act": draw(st.sampled_from(["gelu", "gelu_new", "relu", "silu"])),
        "type_vocab_size": 1 if family != "bert" else draw(st.integers(1, 3)),
        "pad_token_id": 0 if family == "bert" else 1,
    }


@st.composite
def t5_configs(draw):
    gated = draw(st.booleans())
    return {
        "model_type": "t5",
        "vocab_size": draw(st.integers(5, 20)),
        "d_model": draw(st.integers(2, 8)),
        "d_kv": draw(st.integers(1, 5)),
        "d_ff": draw(st.integers(1, 9)),
        "num_layers": draw(st.integers(1, 2)),
        "num_decoder_layers": draw(st.integers(1, 2)),
        "num_heads": draw(st.integers(1, 3)),
        "relative_attention_num_buckets": draw(st.sampled_from([4, 8, 32])),
        "relative_attention_max_distance": draw(st.sampled_from([20, 128])),
        "layer_norm_epsilon": draw(st.sampled_from([1e-2, 1e-6])),
        "feed_forward_proj": "gated-gelu" if gated else draw(st.sampled_from(["relu", "gelu"])),
        "tie_word_embeddings": draw(st.booleans()),
        "decoder_start_token_id": 0,
    }


@st.composite
def vision_configs(draw):
    heads, patch = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "hidden_size": heads * draw(st.integers(2, 4)),
        "num_hidden_layers": draw(st.integers(1, 2)),
        "num_attention_heads": heads,
        "intermediate_size": draw(st.integers(1, 9)),
        "image_size": draw(st.integers(patch, 7)),
        "patch_size": patch,
        "layer_norm_eps": draw(st.sampled_from([1e-2, 1e-3])),
        "hidden_act": draw(st.sampled_from(["gelu", "quick_gelu", "relu"])),
    }


@st.composite
def image_configs(draw):
    family, vision = draw(st.sampled_from(["vit", "deit", "clip"])), draw(vision_configs())
    if family != "clip":
        return {"model_type": family, **vision}
    heads, words = draw(st.integers(1, 3)), draw(st.integers(6, 20))
    text = {
        "vocab_size": words,
        "hidden_size": heads * draw(st.integers(2, 4)),
        "num_hidden_layers": draw(st.integers(1, 2)),
        "num_attention_heads": heads,
        "intermediate_size": draw(st.integers(1, 9)),
        "max_position_embeddings": draw(st.integers(8, 10)),
        "eos_token_id": draw(st.sampled_from([2, words - 1])),
        "layer_norm_eps": 1e-2,
    }
    return {
        "model_type": family,
        "projection_dim": draw(st.integers(1, 6)),
        "text_config": text,
        "vision_config": vision,
    }


@settings(max_examples=10)
@given(config=st.one_of(bert_configs(), t5_configs(), image_configs()))
def test_random_configurations(config, tmp_path_factory):
    record = peer.reference(config)
    tensors = {k.removeprefix("state/"): v for k, v in record.items() if k.startswith("state/")}
    folder = publish(tmp_path_factory.mktemp("model"), config, tensors)
    # float32 against float64: vectors of a few entries may be nearly constant, which norms enlarge.
    assert_equal_results(results(folder, config["model_type"], record), record, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_references_are_current(name):
    kept = stored("encoders", name)
    fresh = peer.reference(CASES[name])
    assert kept.keys() == fresh.keys()
    for key, value in fresh.items():
        np.testing.assert_allclose(kept[key], value, rtol=1e-6, atol=1e-7, err_msg=key)


@pytest.mark.parametrize("name", ["bert", "roberta", "mpnet", "vit", "deit", "clip", "t5"])
def test_what_transformers_save_is_read_and_what_we_write_they_read(name, tmp_path):
    model = peer.torch_model(CASES[name]).float()
    model.save_pretrained(tmp_path)
    _, params, sources = load(tmp_path, CASES[name]["model_type"])
    ours = by_published_name(params, sources)
    theirs = peer.tensors(model)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)
    fresh = peer.torch_model(CASES[name], seed=1).float()
    copies = {k for k in fresh.state_dict() if "embed_tokens" in k or k == "lm_head.weight"}
    names = {k: "shared.weight" if k in copies else peer.published(k) for k in fresh.state_dict()}
    state = {k: torch.from_numpy(ours[name].copy()) for k, name in names.items()}
    fresh.load_state_dict(state, strict=True)
    again = peer.results(fresh, inputs(CASES[name]))
    want = peer.results(model, inputs(CASES[name]))
    assert all(np.array_equal(again[k], want[k]) for k in want)


def test_buckets_of_all_distances():
    from transformers.models.t5.modeling_t5 import T5Attention

    from mmjax.blocks.attention.relative import bucket

    distance = np.arange(-300, 301)
    for buckets in (8, 32, 64):
        for farthest in (40, 128):
            for both in (True, False):
                want = T5Attention._relative_position_bucket(
                    torch.from_numpy(distance), both, buckets, farthest
                )
                got = bucket(distance, buckets=buckets, max_distance=farthest, bidirectional=both)
                np.testing.assert_array_equal(got, want)


@pytest.mark.skipif("MMJAX_MINILM" not in os.environ, reason="MMJAX_MINILM names no folder")
def test_real_minilm():
    folder = Path(os.environ["MMJAX_MINILM"])
    theirs, encoder = peer.minilm(folder), load_text_encoder(folder)
    for ids, want in zip(encoder.tokenize(SENTENCES), theirs["ids"], strict=True):
        assert ids == want[want >= 0].tolist()
    vectors = encoder.encode(SENTENCES, progress=False)
    np.testing.assert_allclose(vectors, theirs["vectors"], atol=1e-5)
