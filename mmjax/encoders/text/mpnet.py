"""MPNet, such as all-mpnet-base-v2, from published weights.

K. Song et al., NeurIPS 2020, arXiv 2004.09297; the model is `mmjax.encoders.text.bert.Bert`, with
RoBERTa's positions, without token types, and with T5's relative position bias in all layers.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from mmjax.encoders.loading.hub import local_folder
from mmjax.encoders.loading.weights import (
    TensorSource,
    WeightsError,
    linear,
    load_module,
    norm,
    read_config,
    tensor_names,
)
from mmjax.encoders.text.bert import Bert, BertConfig
from mmjax.layers.activations import ACTIVATIONS

FAMILIES = ("mpnet",)
"""Values of ``model_type`` in a config.json that `load_mpnet` reads."""
_PREFIXES = ("mpnet.",)
_HEADS = ("lm_head.", "classifier.", "qa_outputs.")
_BUCKETS = 32


def mpnet_config(content: Mapping[str, Any], **changes: Any) -> BertConfig:
    """The settings of a published ``config.json``; what it leaves out is MPNet's default.

    Raises:
        WeightsError: another family, or a variant that is not built here.
    """
    family = content.get("model_type")
    if family not in FAMILIES:
        raise WeightsError(f"model_type {family!r} is none of {', '.join(FAMILIES)}")
    activation = content.get("hidden_act", "gelu")
    buckets = content.get("relative_attention_num_buckets", _BUCKETS)
    # The publisher's code takes 32 buckets whatever the file says, so no other model exists.
    for name, found, right in (
        ("hidden_act", activation, activation in ACTIVATIONS),
        ("relative_attention_num_buckets", buckets, buckets == _BUCKETS),
    ):
        if not right:
            raise WeightsError(f"config.json: {name} {found!r} is not supported")
    found = {
        "vocabulary": content.get("vocab_size", 30_527),
        "width": content.get("hidden_size", 768),
        "layers": content.get("num_hidden_layers", 12),
        "heads": content.get("num_attention_heads", 12),
        "hidden": content.get("intermediate_size", 3072),
        "positions": content.get("max_position_embeddings", 512),
        "types": 0,
        "eps": content.get("layer_norm_eps", 1e-12),
        "activation": activation,
        "dropout": content.get("hidden_dropout_prob", 0.1),
        "attention_dropout": content.get("attention_probs_dropout_prob", 0.1),
        "pad_id": content.get("pad_token_id", 1),
        "pad_positions": True,
        "buckets": buckets,
    }
    return BertConfig(**{**found, **changes})


def mpnet_sources(config: BertConfig) -> dict[str, TensorSource]:
    """The published name of each parameter."""
    found = {
        "tokens/embedding": TensorSource("embeddings.word_embeddings.weight"),
        "positions/embedding": TensorSource("embeddings.position_embeddings.weight"),
        "encoder/relative_bias/table": TensorSource("encoder.relative_attention_bias.weight"),
    }
    found |= norm("embedding_norm", "embeddings.LayerNorm")
    for n in range(config.layers):
        ours, theirs = f"encoder/layer_{n}", f"encoder.layer.{n}"
        for part, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
            found |= linear(f"{ours}/attention/{part}", f"{theirs}.attention.attn.{letter}")
        found |= norm(f"{ours}/attention_norm", f"{theirs}.attention.LayerNorm")
        found |= linear(f"{ours}/feed_forward/in", f"{theirs}.intermediate.dense")
        found |= linear(f"{ours}/feed_forward/out", f"{theirs}.output.dense")
        found |= norm(f"{ours}/feed_forward_norm", f"{theirs}.output.LayerNorm")
    return found | linear("pooler", "pooler.dense") if config.pooler else found


def load_mpnet(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[Bert, dict[str, Any]]:
    """The encoder of a folder with ``config.json`` and ``model.safetensors``, and its parameters.

    Heads for other tasks are left out. There is a pooler where the file has one.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        dtype: of the computation; parameters are float32.

    Raises:
        WeightsError: the folder lacks something, or holds another kind of model.
    """
    folder = local_folder(folder)
    pooler = "pooler.dense.weight" in tensor_names(folder, prefixes=_PREFIXES)
    config = mpnet_config(read_config(folder), pooler=pooler, dtype=dtype)
    model, ids = Bert(config), jnp.zeros((1, 1), jnp.int32)
    sources = mpnet_sources(config)
    params = load_module(folder, model, [ids], sources, prefixes=_PREFIXES, unused=_HEADS)
    return model, params
