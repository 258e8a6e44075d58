"""T5, Flan-T5 and mT5 from published weights.

C. Raffel et al., JMLR 2020, arXiv 1910.10683; the model is `mmjax.layers.seq2seq.Seq2Seq`, or its
encoder alone.

Axes: b texts, s positions.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Int, Shaped

from mmjax.encoders.encode.outputs import EncoderOutput
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
from mmjax.layers.activations import ACTIVATIONS
from mmjax.layers.dropout import module_dropout
from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig
from mmjax.layers.stack import Stack

FAMILIES = ("t5", "mt5")
"""Values of ``model_type`` in a config.json that the loaders read."""
_COPIES = ("encoder.embed_tokens.", "decoder.embed_tokens.")
_DECODER = ("decoder.", "lm_head.")


@dataclass(frozen=True)
class T5EncoderConfig:
    """The encoder of a T5."""

    whole: Seq2SeqConfig
    """The model that it is of; what this says of a decoder is not read."""
    longest: int = 512
    """Tokens of the longest texts that it has seen in training."""
    pad_id: int = 0
    """Token of padding."""

    @property
    def vocabulary(self) -> int:
        """Tokens."""
        return self.whole.vocabulary

    @property
    def width(self) -> int:
        """Width of the model."""
        return self.whole.width

    @property
    def pooler(self) -> bool:
        """False: T5 defines no vector of a whole text."""
        return False


class T5Encoder(nn.Module):
    """Token embeddings, then pre-norm RMS layers with relative positions; parameters as in T5."""

    config: T5EncoderConfig

    @nn.compact
    def __call__(
        self,
        ids: Int[Array, "b s"],
        mask: Shaped[Array, "b s"] | None = None,
        *,
        train: bool = False,
    ) -> EncoderOutput:
        """Encode texts.

        Args:
            ids: tokens in [0, vocabulary).
            mask: 1 or True at tokens, 0 at padding, which then changes no token; None: all but
                `T5EncoderConfig.pad_id` are tokens.
            train: draw dropout from the stream "dropout".
        """
        c = self.config.whole
        mask = ids != self.config.pad_id if mask is None else mask
        start = nn.initializers.normal(1.0)
        tokens = nn.Embed(
            c.vocabulary, c.width, embedding_init=start, dtype=c.dtype, name="embedding"
        )
        x = module_dropout(self, tokens(ids), c.dropout, train)
        states = Stack(c.stack(decoder=False), name="encoder")(x, mask, train=train)
        last = module_dropout(self, states.output, c.dropout, train)
        return EncoderOutput(states.hidden, last)


def t5_config(content: Mapping[str, Any], **changes: Any) -> Seq2SeqConfig:
    """The settings of a published ``config.json``; what it leaves out is T5's default.

    Raises:
        WeightsError: another family, or an unknown feed-forward network.
    """
    family = content.get("model_type")
    if family not in FAMILIES:
        raise WeightsError(f"model_type {family!r} is none of {', '.join(FAMILIES)}")
    activation = content.get("feed_forward_proj", "relu")
    gated = activation.startswith("gated-")
    activation = activation.removeprefix("gated-")
    # The gated T5 takes the approximation where it says gelu.
    activation = "gelu_new" if gated and activation == "gelu" else activation
    if activation not in ACTIVATIONS:
        raise WeightsError(f"config.json: feed_forward_proj {activation!r} is not supported")
    layers = content.get("num_layers", 6)
    found = {
        "vocabulary": content.get("vocab_size", 32_128),
        "width": content.get("d_model", 512),
        "layers": layers,
        "decoder_layers": content.get("num_decoder_layers") or layers,
        "heads": content.get("num_heads", 8),
        "head_width": content.get("d_kv", 64),
        "hidden": content.get("d_ff", 2048),
        "activation": activation,
        "gated": gated,
        "dropout": content.get("dropout_rate", 0.1),
        "buckets": content.get("relative_attention_num_buckets", 32),
        "max_distance": content.get("relative_attention_max_distance", 128),
        "eps": content.get("layer_norm_epsilon", 1e-6),
        "start_id": content.get("decoder_start_token_id", 0),
    }
    return Seq2SeqConfig(**{**found, **changes})


def t5_sources(config: Seq2SeqConfig) -> dict[str, TensorSource]:
    """The published name of each parameter."""
    found = {"embedding/embedding": TensorSource("shared.weight")}
    for side, layers in (("encoder", config.layers), ("decoder", config.decoder_layers)):
        first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        found[f"{side}/relative_bias/table"] = TensorSource(first)
        found |= norm(f"{side}/final_norm", f"{side}.final_layer_norm", bias=False)
        parts = [("attention", "SelfAttention"), ("feed_forward", "DenseReluDense")]
        if side == "decoder":
            parts.insert(1, ("cross", "EncDecAttention"))
        for n in range(layers):
            for k, (part, name) in enumerate(parts):
                ours, theirs = f"{side}/layer_{n}", f"{side}.block.{n}.layer.{k}"
                found |= norm(f"{ours}/{part}_norm", f"{theirs}.layer_norm", bias=False)
                for leaf, letter in _maps(part, config.gated).items():
                    found |= linear(
                        f"{ours}/{part}/{leaf}", f"{theirs}.{name}.{letter}", bias=False
                    )
    return found if config.tied else {**found, "head": TensorSource("lm_head.weight", "linear")}


def _maps(part: str, gated: bool) -> dict[str, str]:
    if part != "feed_forward":
        return {"query": "q", "key": "k", "value": "v", "out": "o"}
    return {"gate": "wi_0", "in": "wi_1", "out": "wo"} if gated else {"in": "wi", "out": "wo"}


def load_t5(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[Seq2Seq, dict[str, Any]]:
    """The encoder-decoder of a folder with ``config.json`` and safetensors, and its parameters.

    The head is tied where the file has none of its own.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        dtype: of the computation; parameters are float32.

    Raises:
        WeightsError: the folder lacks something, or holds another kind of model.
    """
    folder = local_folder(folder)
    tied, content = "lm_head.weight" not in tensor_names(folder), read_config(folder)
    # Newer files say `scale_decoder_outputs` what older ones say by `tie_word_embeddings`.
    scaled = content.get("scale_decoder_outputs", content.get("tie_word_embeddings", True))
    if scaled != tied:
        raise WeightsError(
            f"{folder}: logits are {'' if scaled else 'not '}scaled, yet the file has "
            f"{'no' if tied else 'a'} head of its own (lm_head.weight); that is neither T5 v1.0 "
            "nor v1.1"
        )
    config = t5_config(content, tied=tied, dtype=dtype)
    model, ids = Seq2Seq(config), jnp.zeros((1, 1), jnp.int32)
    return model, load_module(folder, model, [ids, ids], t5_sources(config), unused=_COPIES)


def load_t5_encoder(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[T5Encoder, dict[str, Any]]:
    """The encoder of a folder, of a whole T5 or of an encoder alone, and its parameters.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        dtype: of the computation; parameters are float32.

    Raises:
        WeightsError: the folder lacks something, or holds another kind of model.
    """
    folder = local_folder(folder)
    content = read_config(folder)
    config = T5EncoderConfig(
        t5_config(content, dtype=dtype),
        content.get("n_positions", 512),
        content.get("pad_token_id", 0),
    )
    model, ids = T5Encoder(config), jnp.zeros((1, 1), jnp.int32)
    wanted = {
        path: tensor
        for path, tensor in t5_sources(config.whole).items()
        if path.startswith(("embedding/", "encoder/"))
    }
    return model, load_module(folder, model, [ids], wanted, unused=(*_COPIES, *_DECODER))
