"""CLIP from folders of published weights: both towers, or one out of either kind of file.

A file of both towers names their tensors below `text_model.` and `vision_model.`; files of one
tower come with that prefix and without it.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from mmjax.encoders.image_text.clip import (
    Clip,
    ClipConfig,
    ClipText,
    ClipTextConfig,
    ClipVision,
    ClipVisionConfig,
)
from mmjax.encoders.loading.hub import local_folder
from mmjax.encoders.loading.weights import (
    TensorSource,
    WeightsError,
    as_pair,
    linear,
    load_module,
    norm,
    read_config,
    tensor_names,
)
from mmjax.layers.activations import ACTIVATIONS

Side = Literal["text", "vision"]

TEXT_FAMILIES, VISION_FAMILIES = ("clip", "clip_text_model"), ("clip", "clip_vision_model")
"""Values of ``model_type`` in a config.json that the loaders of a tower read."""
_PROJECTION = {"text": "text_projection.weight", "vision": "visual_projection.weight"}
_ABSENT_OF_TEXT = ("vision_model.", "visual_projection.", "logit_scale")
_ABSENT_OF_VISION = ("text_model.", "text_projection.", "logit_scale", "classifier.")


def text_config(content: Mapping[str, Any], **changes: Any) -> ClipTextConfig:
    """The tower of texts, of a ``config.json`` of both towers or of this one.

    Raises:
        WeightsError: another family, or a variant that is not built here.
    """
    part, found = _shared(content, "text", 512, 2048, 8)
    end = part.get("eos_token_id", 49_407)
    if type(end) is not int:
        raise WeightsError(f"config.json: eos_token_id {end!r} is not supported")
    found |= {
        "vocabulary": part.get("vocab_size", 49_408),
        "positions": part.get("max_position_embeddings", 77),
        # The first files name token 2, which their tokenizer does not end texts with.
        "end_id": None if end == 2 else end,
    }
    return ClipTextConfig(**{**found, **changes})


def vision_config(content: Mapping[str, Any], **changes: Any) -> ClipVisionConfig:
    """The tower of images; otherwise as `text_config`."""
    part, found = _shared(content, "vision", 768, 3072, 12)
    found |= {
        "image": as_pair(part.get("image_size", 224)),
        "patch": as_pair(part.get("patch_size", 32)),
        "channels": part.get("num_channels", 3),
    }
    return ClipVisionConfig(**{**found, **changes})


def clip_config(content: Mapping[str, Any], **changes: Any) -> ClipConfig:
    """Both towers; `changes` are of both. Errors as `text_config`."""
    if content.get("model_type") != "clip":
        raise WeightsError(f"model_type {content.get('model_type')!r} is not 'clip'")
    scale = content.get("logit_scale_init_value", 2.6592)
    return ClipConfig(text_config(content, **changes), vision_config(content, **changes), scale)


def _shared(
    content: Mapping[str, Any], side: Side, width: int, hidden: int, heads: int
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    family, alone = content.get("model_type"), f"clip_{side}_model"
    if family not in ("clip", alone):
        raise WeightsError(f"model_type {family!r} is none of clip, {alone}")
    part = content
    if family == "clip":
        # Old files say what differs from the defaults in a second place, which comes first.
        old = content.get(f"{side}_config_dict")
        part = {**(content.get(f"{side}_config") or {}), **(old or {})}
    activation = part.get("hidden_act", "quick_gelu")
    if activation not in ACTIVATIONS:
        raise WeightsError(f"config.json: hidden_act {activation!r} is not supported")
    return part, {
        "width": part.get("hidden_size", width),
        "layers": part.get("num_hidden_layers", 12),
        "heads": part.get("num_attention_heads", heads),
        "hidden": part.get("intermediate_size", hidden),
        "eps": part.get("layer_norm_eps", 1e-5),
        "activation": activation,
        "attention_dropout": part.get("attention_dropout", 0.0),
        "projection": content.get("projection_dim", 512),
    }


def text_sources(config: ClipTextConfig) -> dict[str, TensorSource]:
    """The published name of each parameter of the tower of texts, without prefix."""
    found = {
        "tokens/embedding": TensorSource("embeddings.token_embedding.weight"),
        "positions": TensorSource("embeddings.position_embedding.weight"),
    }
    found |= _layers(config) | norm("encoder/final_norm", "final_layer_norm")
    return found | _projection(config, "text")


def vision_sources(config: ClipVisionConfig) -> dict[str, TensorSource]:
    """The published name of each parameter of the tower of images, without prefix."""
    found = {
        "class_token": TensorSource("embeddings.class_embedding"),
        "positions": TensorSource("embeddings.position_embedding.weight"),
        "patches/conv/kernel": TensorSource("embeddings.patch_embedding.weight", "conv"),
    }
    found |= norm("embedding_norm", "pre_layrnorm") | _layers(config)
    return found | norm("pooled_norm", "post_layernorm") | _projection(config, "vision")


def clip_sources(config: ClipConfig) -> dict[str, TensorSource]:
    """The published name of each parameter of both towers."""
    found = {"logit_scale": TensorSource("logit_scale")}
    parts = {"text": text_sources(config.text), "vision": vision_sources(config.vision)}
    for side, tensors in parts.items():
        for path, (name, layout) in tensors.items():
            whole = name if name == _PROJECTION[side] else f"{side}_model.{name}"
            found[f"{side}/{path}"] = TensorSource(whole, layout)
    return found


def _layers(config: ClipTextConfig | ClipVisionConfig) -> dict[str, TensorSource]:
    found = {}
    for n in range(config.layers):
        ours, theirs = f"encoder/layer_{n}", f"encoder.layers.{n}"
        for part, name in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out")):
            found |= linear(f"{ours}/attention/{part}", f"{theirs}.self_attn.{name}_proj")
        found |= norm(f"{ours}/attention_norm", f"{theirs}.layer_norm1")
        found |= norm(f"{ours}/feed_forward_norm", f"{theirs}.layer_norm2")
        found |= linear(f"{ours}/feed_forward/in", f"{theirs}.mlp.fc1")
        found |= linear(f"{ours}/feed_forward/out", f"{theirs}.mlp.fc2")
    return found


def _projection(config: ClipTextConfig | ClipVisionConfig, side: Side) -> dict[str, TensorSource]:
    return {"out/kernel": TensorSource(_PROJECTION[side], "linear")} if config.projection else {}


def load_clip(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[Clip, dict[str, Any]]:
    """Both towers of a folder with ``config.json`` and ``model.safetensors``, and the parameters.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        dtype: of the computation; parameters are float32.

    Raises:
        WeightsError: the folder lacks something, or holds another kind of model.
    """
    folder = local_folder(folder)
    config = clip_config(read_config(folder), dtype=dtype)
    model, ids = Clip(config), jnp.zeros((1, 1), jnp.int32)
    return model, load_module(folder, model, [ids, _blank(config.vision)], clip_sources(config))


def load_clip_text(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[ClipText, dict[str, Any]]:
    """The tower of texts, of a file of both towers or of this one; otherwise as `load_clip`.

    There is a projection where the file has one.
    """
    folder = local_folder(folder)
    prefixes = ("text_model.",)
    projected = _PROJECTION["text"] in tensor_names(folder, prefixes=prefixes)
    config = text_config(
        read_config(folder), dtype=dtype, **({} if projected else {"projection": 0})
    )
    model, ids = ClipText(config), jnp.zeros((1, 1), jnp.int32)
    params = load_module(
        folder,
        model,
        [ids],
        text_sources(config),
        prefixes=prefixes,
        unused=_ABSENT_OF_TEXT,
    )
    return model, params


def load_clip_vision(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[ClipVision, dict[str, Any]]:
    """The tower of images, of a file of both towers or of this one; otherwise as `load_clip`.

    There is a projection where the file has one. Classifiers are left out.
    """
    folder = local_folder(folder)
    prefixes = ("vision_model.",)
    projected = _PROJECTION["vision"] in tensor_names(folder, prefixes=prefixes)
    config = vision_config(
        read_config(folder), dtype=dtype, **({} if projected else {"projection": 0})
    )
    model = ClipVision(config)
    params = load_module(
        folder,
        model,
        [_blank(config)],
        vision_sources(config),
        prefixes=prefixes,
        unused=_ABSENT_OF_VISION,
    )
    return model, params


def _blank(config: ClipVisionConfig) -> jax.Array:
    return jnp.zeros((1, *config.image, config.channels))
