"""Folders of weights: complete or refused, with one message that says what to do."""

import json
import re

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from mmjax.encoders.loading.weights import (
    TensorSource,
    WeightsError,
    linear,
    load_params,
    norm,
    read_config,
    read_json,
    tensor_names,
)

SHAPES = {
    "dense": {
        "kernel": jax.ShapeDtypeStruct((2, 3), np.float32),
        "bias": jax.ShapeDtypeStruct((3,), np.float32),
    },
    "split": {"kernel": jax.ShapeDtypeStruct((4, 2, 3), np.float32)},
    "merge": {"kernel": jax.ShapeDtypeStruct((2, 3, 4), np.float32)},
    "conv": jax.ShapeDtypeStruct((3, 5, 2, 7), np.float32),
    "norm": {"scale": jax.ShapeDtypeStruct((2,), np.float32)},
}
SOURCES = {
    **linear("dense", "body.fc"),
    **linear("split", "body.q", bias=False),
    **linear("merge", "body.o", bias=False),
    "conv": TensorSource("body.conv.weight", "conv"),
    **norm("norm", "body.ln", bias=False),
}


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    shapes = {
        "body.fc.weight": (3, 2),
        "body.fc.bias": (3,),
        "body.q.weight": (6, 4),
        "body.o.weight": (4, 6),
        "body.conv.weight": (7, 2, 3, 5),
        "body.ln.weight": (2,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_layouts(tmp_path, tensors):
    save_file(tensors, tmp_path / "model.safetensors")
    params = load_params(tmp_path, SHAPES, SOURCES)
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, SHAPES)
    x = np.arange(4.0, dtype=np.float32)
    heads = (tensors["body.q.weight"] @ x).reshape(2, 3)
    np.testing.assert_allclose(
        np.einsum("m,mhd->hd", x, params["split"]["kernel"]), heads, rtol=1e-5
    )
    back = tensors["body.o.weight"] @ heads.ravel()
    np.testing.assert_allclose(
        np.einsum("hd,hdm->m", heads, params["merge"]["kernel"]), back, rtol=1e-5
    )
    np.testing.assert_array_equal(params["dense"]["kernel"], tensors["body.fc.weight"].T)
    assert float(params["conv"][1, 4, 0, 6]) == tensors["body.conv.weight"][6, 0, 1, 4]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_any_precision_becomes_float32(tmp_path, tensors, dtype):
    stored = {name: value.astype(dtype) for name, value in tensors.items()}
    save_file(stored, tmp_path / "model.safetensors")
    params = load_params(tmp_path, SHAPES, SOURCES)
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    want = stored["body.fc.bias"].astype(np.float32)
    np.testing.assert_array_equal(params["dense"]["bias"], want)


def test_prefixes_old_names_and_buffers(tmp_path):
    held = {
        "bert.LayerNorm.gamma": np.ones(2, np.float32),
        "bert.LayerNorm.beta": np.zeros(2, np.float32),
        "bert.embeddings.position_ids": np.arange(3),
        "layers.0.relative_position_index": np.arange(3),
        "h.0.attn.bias": np.ones((2, 2), np.float32),
        "h.0.attn.masked_bias": np.float32(-1e4),
        "rotary_emb.inv_freq": np.ones(2, np.float32),
        "bn.num_batches_tracked": np.int64(5),
        "cls.bias": np.ones(1, np.float32),
    }
    save_file({k: np.asarray(v) for k, v in held.items()}, tmp_path / "model.safetensors")
    names = tensor_names(tmp_path, prefixes=["roberta.", "bert."])
    assert set(names) == {"LayerNorm.weight", "LayerNorm.bias", "cls.bias"}
    leaf = jax.ShapeDtypeStruct((2,), np.float32)
    params = load_params(
        tmp_path,
        {"n": {"scale": leaf, "bias": leaf}},
        norm("n", "LayerNorm"),
        prefixes=["bert."],
        unused=["cls."],
    )
    np.testing.assert_array_equal(params["n"]["scale"], [1, 1])


def test_two_tensors_of_one_name(tmp_path):
    save_file(
        {"bert.a": np.ones(1, np.float32), "a": np.ones(1, np.float32)},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(WeightsError, match="are both 'a'"):
        tensor_names(tmp_path, prefixes=["bert."])


def test_missing_extra_and_misshapen_tensors_are_named_at_once(tmp_path, tensors):
    del tensors["body.fc.bias"]
    tensors["pooler.weight"] = np.ones(2, np.float32)
    tensors["body.ln.weight"] = np.ones(3, np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError) as error:
        load_params(tmp_path, SHAPES, SOURCES)
    said = str(error.value)
    assert "missing: body.fc.bias" in said
    assert "not part of the model: pooler.weight" in said
    assert "of another shape: body.ln.weight [3] for [2]" in said


def test_a_transposed_square_is_not_noticed_but_an_untransposed_one_is(tmp_path, tensors):
    tensors["body.fc.weight"] = np.ascontiguousarray(tensors["body.fc.weight"].T)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=re.escape("body.fc.weight [2, 3] for [2, 3]")):
        load_params(tmp_path, SHAPES, SOURCES)


def test_many_names_are_cut(tmp_path):
    save_file({f"t{n}": np.ones(1, np.float32) for n in range(9)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="t4 and 4 more"):
        load_params(tmp_path, {}, {})


def test_several_files(tmp_path, tensors):
    names = sorted(tensors)
    placed = {name: f"model-{n % 2 + 1}-of-2.safetensors" for n, name in enumerate(names)}
    for file in set(placed.values()):
        save_file({n: tensors[n] for n in names if placed[n] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    params = load_params(tmp_path, SHAPES, SOURCES)
    np.testing.assert_array_equal(params["dense"]["bias"], tensors["body.fc.bias"])

    index.write_text(json.dumps({"weight_map": {**placed, "x": placed[names[0]]}}))
    with pytest.raises(WeightsError, match=r"lacks 'x', which .* says it holds"):
        tensor_names(tmp_path)
    (tmp_path / placed[names[0]]).unlink()
    with pytest.raises(WeightsError, match=r"model-1-of-2\.safetensors is missing"):
        tensor_names(tmp_path)
    for bad in ({}, {"weight_map": {"x": "../../secret"}}, {"weight_map": {"x": 3}}):
        index.write_text(json.dumps(bad))
        with pytest.raises(WeightsError, match="weight_map"):
            tensor_names(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + bytes(100), b"version https://git-lfs", bytes(8) + b"{}"],
    ids=["empty", "zip", "pointer", "no header"],
)
def test_foreign_files(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"truncated or no safetensors file .*; copy it again"):
        tensor_names(tmp_path)


def test_truncated_files(tmp_path, tensors):
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    whole = path.read_bytes()
    for length in (4, 60, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"truncated or no safetensors"):
            load_params(tmp_path, SHAPES, SOURCES)


def test_no_weights_at_all(tmp_path):
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing; .* is empty"):
        tensor_names(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"there is: pytorch_model\.bin.*are not read"):
        tensor_names(tmp_path)
    with pytest.raises(WeightsError, match="is no folder"):
        tensor_names(tmp_path / "nowhere")


def test_json_files(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json is missing; .* is empty"):
        read_config(tmp_path)
    path = tmp_path / "config.json"
    for content, said in ((b"{", "not a readable JSON"), (b"\xff\xfe", "not a readable JSON")):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=said):
            read_config(tmp_path)
    path.write_text("[1]")
    with pytest.raises(WeightsError, match="holds a list, not a dict"):
        read_config(tmp_path)
    assert read_json(path, list) == [1]


def test_sources_must_fit_the_model(tmp_path):
    with pytest.raises(KeyError, match="dense/bias"):
        load_params(tmp_path, SHAPES, {k: v for k, v in SOURCES.items() if k != "dense/bias"})
