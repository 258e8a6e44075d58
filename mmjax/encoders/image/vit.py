"""Vision Transformers from published weights: ViT and DeiT.

A. Dosovitskiy et al., ICLR 2021, arXiv 2010.11929; H. Touvron et al., ICML 2021, arXiv 2012.12877.

Axes: b images, y rows and x columns of pixels, c channels, s positions, m width.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.encoders.encode.outputs import EncoderOutput
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
from mmjax.layers.activations import ACTIVATIONS, Activation
from mmjax.layers.dropout import module_dropout
from mmjax.layers.patches import Patches
from mmjax.layers.stack import Stack, StackConfig
from mmjax.layers.transformer import BlockConfig

FAMILIES = ("vit", "deit")
"""Values of ``model_type`` in a config.json that `load_vit` reads."""
_PREFIXES = ("vit.", "deit.")
_HEADS = (
    "classifier.",
    "cls_classifier.",
    "distillation_classifier.",
    "decoder.",
    "embeddings.mask_token",
)


@dataclass(frozen=True)
class ViTConfig:
    """An encoder; the defaults are vit-base-patch16-224."""

    image: tuple[int, int] = (224, 224)
    """Rows and columns of an image's pixels."""
    patch: tuple[int, int] = (16, 16)
    """Rows and columns of a patch's pixels."""
    channels: int = 3
    """Channels c of an image."""
    width: int = 768
    """Width m of the model."""
    layers: int = 12
    """Layers."""
    heads: int = 12
    """Attention heads."""
    hidden: int = 3072
    """Hidden width of the feed-forward networks."""
    eps: float = 1e-12
    """Of the norms."""
    activation: Activation = "gelu"
    """Of the feed-forward networks."""
    dropout: float = 0.0
    """Dropout rate of embeddings and of what the layers add, in [0, 1)."""
    attention_dropout: float = 0.0
    """Dropout rate of the attention weights, in [0, 1)."""
    distilled: bool = False
    """A second token behind the first, from which a teacher was imitated (DeiT)."""
    pooler: bool = True
    """A dense layer with tanh on the first token."""
    dtype: Any = jnp.float32
    """Of the computation; parameters, softmax and norms are float32."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any], **changes: Any) -> "ViTConfig":
        """From the ``config.json`` of published weights; what it leaves out is ViT's default.

        Raises:
            WeightsError: another family, or a variant that is not built here.
        """
        family = content.get("model_type")
        if family not in FAMILIES:
            raise WeightsError(f"model_type {family!r} is none of {', '.join(FAMILIES)}")
        activation, width = content.get("hidden_act", "gelu"), content.get("hidden_size", 768)
        pooled = content.get("pooler_output_size") or width
        for name, found, right in (
            ("hidden_act", activation, activation in ACTIVATIONS),
            ("qkv_bias", content.get("qkv_bias"), content.get("qkv_bias", True)),
            ("pooler_act", content.get("pooler_act"), content.get("pooler_act", "tanh") == "tanh"),
            ("pooler_output_size", pooled, pooled == width),
        ):
            if not right:
                raise WeightsError(f"config.json: {name} {found!r} is not supported")
        found = {
            "image": as_pair(content.get("image_size", 224)),
            "patch": as_pair(content.get("patch_size", 16)),
            "channels": content.get("num_channels", 3),
            "width": width,
            "layers": content.get("num_hidden_layers", 12),
            "heads": content.get("num_attention_heads", 12),
            "hidden": content.get("intermediate_size", 3072),
            "eps": content.get("layer_norm_eps", 1e-12),
            "activation": activation,
            "dropout": content.get("hidden_dropout_prob", 0.0),
            "attention_dropout": content.get("attention_probs_dropout_prob", 0.0),
            "distilled": family == "deit",
        }
        return cls(**{**found, **changes})


class ViT(nn.Module):
    """Patches behind a learned token, positions added, then pre-norm Transformer layers."""

    config: ViTConfig

    @nn.compact
    def __call__(self, pixels: Float[Array, "b y x c"], *, train: bool = False) -> EncoderOutput:
        """Encode images.

        Args:
            pixels: normalised as the publisher did (`mmjax.encoders.image.pixels`).
            train: draw dropout from the stream "dropout".

        Raises:
            ValueError: images of another size than the model's.
        """
        c = self.config
        start = nn.initializers.truncated_normal(0.02)
        patches = Patches(c.image, c.patch, c.channels, c.width, dtype=c.dtype, name="patches")
        names = ("class_token", "distillation_token") if c.distilled else ("class_token",)
        front = [self.param(name, start, (1, 1, c.width)) for name in names]
        rows = [jnp.broadcast_to(x, (len(pixels), 1, c.width)).astype(c.dtype) for x in front]
        x = jnp.concatenate([*rows, patches(pixels)], axis=1)
        places = self.param("positions", start, (1, patches.count + len(front), c.width))
        x = module_dropout(self, x + places.astype(c.dtype), c.dropout, train)
        block = BlockConfig(
            width=c.width,
            heads=c.heads,
            hidden=c.hidden,
            eps=c.eps,
            activation=c.activation,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
            kernel_init=start,
            dtype=c.dtype,
        )
        stack = StackConfig(block, c.layers, final_norm=True)
        states = Stack(stack, name="encoder")(x, train=train)
        if not c.pooler:
            return EncoderOutput(states.hidden, states.output, None)
        pooler = nn.Dense(c.width, kernel_init=start, dtype=c.dtype, name="pooler")
        return EncoderOutput(states.hidden, states.output, jnp.tanh(pooler(states.output[:, 0])))


def vit_sources(config: ViTConfig) -> dict[str, TensorSource]:
    """The published name of each parameter."""
    patches = "embeddings.patch_embeddings.projection"
    found = {
        "class_token": TensorSource("embeddings.cls_token"),
        "positions": TensorSource("embeddings.position_embeddings"),
        "patches/conv/kernel": TensorSource(f"{patches}.weight", "conv"),
        "patches/conv/bias": TensorSource(f"{patches}.bias"),
    }
    if config.distilled:
        found["distillation_token"] = TensorSource("embeddings.distillation_token")
    for n in range(config.layers):
        ours, theirs = f"encoder/layer_{n}", f"encoder.layer.{n}"
        found |= norm(f"{ours}/attention_norm", f"{theirs}.layernorm_before")
        for part in ("query", "key", "value"):
            found |= linear(f"{ours}/attention/{part}", f"{theirs}.attention.attention.{part}")
        found |= linear(f"{ours}/attention/out", f"{theirs}.attention.output.dense")
        found |= norm(f"{ours}/feed_forward_norm", f"{theirs}.layernorm_after")
        found |= linear(f"{ours}/feed_forward/in", f"{theirs}.intermediate.dense")
        found |= linear(f"{ours}/feed_forward/out", f"{theirs}.output.dense")
    found |= norm("encoder/final_norm", "layernorm")
    return found | linear("pooler", "pooler.dense") if config.pooler else found


def load_vit(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[ViT, dict[str, Any]]:
    """The encoder of a folder with ``config.json`` and ``model.safetensors``, and its parameters.

    Heads for classes and for masked patches are left out. There is a pooler where the file has
    one.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        dtype: of the computation; parameters are float32.

    Raises:
        WeightsError: the folder lacks something, or holds another kind of model.
    """
    folder = local_folder(folder)
    pooler = "pooler.dense.weight" in tensor_names(folder, prefixes=_PREFIXES)
    config = ViTConfig.from_json(read_config(folder), pooler=pooler, dtype=dtype)
    model = ViT(config)
    blank = jnp.zeros((1, *config.image, config.channels))
    sources = vit_sources(config)
    params = load_module(folder, model, [blank], sources, prefixes=_PREFIXES, unused=_HEADS)
    return model, params
