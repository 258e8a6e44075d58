"""ViT and CLIP: sizes, refusals, towers out of any file. Numbers are compared in tests/parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.encoders.image.clip import Clip, ClipText, ClipVision
from mmjax.encoders.image.clip_files import (
    clip_config,
    load_clip,
    load_clip_text,
    load_clip_vision,
    text_config,
    vision_config,
)
from mmjax.encoders.image.vit import Patches, ViT, ViTConfig, load_vit
from mmjax.encoders.loading.weights import WeightsError
from tests.parity.common.records import stored, with_prefix
from tests.parity.encoders.case import CASES, publish

IDS = jnp.zeros((1, 2), jnp.int32)
LARGE = {
    "model_type": "clip",
    "projection_dim": 768,
    "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
    },
}


def tensors(name):
    return with_prefix(stored("encoders", name), "state/")


@pytest.mark.parametrize(
    ("model", "images", "count"),
    [
        (ViT(ViTConfig(pooler=False)), jnp.zeros((1, 224, 224, 3)), 85_798_656),
        (Clip(clip_config({"model_type": "clip"})), jnp.zeros((1, 224, 224, 3)), 151_277_313),
        (Clip(clip_config(LARGE)), jnp.zeros((1, 224, 224, 3)), 427_616_513),
    ],
    ids=["vit-base", "clip-b32", "clip-l14"],
)
def test_published_sizes(model, images, count):
    inputs = (images,) if isinstance(model, ViT) else (IDS, images)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(
    ("make", "content", "said"),
    [
        (ViTConfig.from_json, {"model_type": "swin"}, "model_type 'swin' is none of vit, deit"),
        (ViTConfig.from_json, {"model_type": "vit", "qkv_bias": False}, "qkv_bias False"),
        (ViTConfig.from_json, {"model_type": "vit", "pooler_act": "relu"}, "pooler_act 'relu'"),
        (ViTConfig.from_json, {"model_type": "vit", "image_size": [1, 2, 3]}, "neither a number"),
        (clip_config, {"model_type": "clip_text_model"}, "model_type 'clip_text_model' is not"),
        (text_config, {"model_type": "clip_vision_model"}, "none of clip, clip_text_model"),
        (text_config, {"model_type": "clip_text_model", "eos_token_id": [1, 2]}, "eos_token_id"),
        (vision_config, {"model_type": "clip_vision_model", "hidden_act": "mish"}, "'mish'"),
    ],
)
def test_what_is_not_built_is_refused(make, content, said):
    with pytest.raises(WeightsError, match=said):
        make(content)


def test_patches_are_a_convolution(getkey):
    patches = Patches((7, 9), (3, 2), 3, 5)  # a row and a column of pixels are left over
    x = jax.random.normal(getkey(), (2, 7, 9, 3))
    variables = patches.init(getkey(), x)

    def convolved(variables, x):
        p = variables["params"]["conv"]
        numbers = ("NHWC", "HWIO", "NHWC")
        cut = jax.lax.conv_general_dilated(
            x, p["kernel"], (3, 2), "VALID", dimension_numbers=numbers
        )
        return cut.reshape(2, patches.count, 5) + p["bias"][None, None]

    assert patches.count == 8
    np.testing.assert_allclose(patches.apply(variables, x), convolved(variables, x), atol=1e-5)
    got, want = (
        jax.grad(lambda v, x, f=f: (f(v, x) ** 2).sum(), (0, 1))(variables, x)
        for f in (patches.apply, convolved)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, want)


def test_wrong_sizes_of_inputs():
    vit = ViT(ViTConfig.from_json(CASES["vit"]))
    with pytest.raises(ValueError, match=r"images of shape \(4, 6, 3\), the model reads \(6, 4, 3"):
        jax.eval_shape(vit.init, jax.random.key(0), jnp.zeros((1, 4, 6, 3)))
    text = ClipText(text_config(CASES["clip"]))
    with pytest.raises(ValueError, match="10 tokens in a row, the model reads 9"):
        jax.eval_shape(text.init, jax.random.key(0), jnp.zeros((1, 10), jnp.int32))


def test_vit_without_pooler_and_with_a_head(tmp_path):
    kept = {f"vit.{k}": v for k, v in tensors("vit").items() if "pooler" not in k}
    folder = publish(tmp_path, CASES["vit"], {**kept, "classifier.bias": np.ones(3)})
    model, params = load_vit(folder)
    assert not model.config.pooler
    assert "pooler" not in params
    del kept["vit.embeddings.cls_token"]
    kept["vit.extra.weight"] = np.ones(3)
    with pytest.raises(WeightsError, match=r"missing: embeddings\.cls_token.*: extra\.weight"):
        load_vit(publish(tmp_path, CASES["vit"], kept))


@pytest.mark.parametrize("prefixed", [True, False], ids=["prefix", "none"])
@pytest.mark.parametrize("side", ["text", "vision"])
def test_a_tower_out_of_any_file(side, prefixed, tmp_path):
    whole = publish(tmp_path / "whole", CASES["clip"], tensors("clip"))
    _, both = load_clip(whole)
    read, tower = (load_clip_text, ClipText) if side == "text" else (load_clip_vision, ClipVision)
    model, params = read(whole)
    assert isinstance(model, tower)
    jax.tree.map(np.testing.assert_array_equal, params, both[side])

    # A file of this tower alone, with the projection and without it.
    prefix = f"{side}_model."
    mine = {k: v for k, v in tensors("clip").items() if k.startswith(prefix)}
    mine = mine if prefixed else {k.removeprefix(prefix): v for k, v in mine.items()}
    name = "text_projection.weight" if side == "text" else "visual_projection.weight"
    config = {
        **CASES["clip"][f"{side}_config"],
        "model_type": f"clip_{side}_model",
        "projection_dim": 5,
    }
    projection = {name: tensors("clip")[name]}
    alone, got = read(publish(tmp_path / "a", config, {**mine, **projection}))
    assert alone == model
    jax.tree.map(np.testing.assert_array_equal, got, params)
    plain, got = read(publish(tmp_path / "b", config, mine))
    assert plain.config.projection == 0
    assert "out" not in got
