"""BERT and models of its shape: MiniLM, E5, BGE; RoBERTa and XLM-R.

J. Devlin et al., NAACL 2019, arXiv 1810.04805; Y. Liu et al., arXiv 1907.11692.

Axes: b texts, s positions, m width.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int, Shaped

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
from mmjax.layers import norms
from mmjax.layers.activations import ACTIVATIONS, Activation
from mmjax.layers.attention import KeysValues
from mmjax.layers.dropout import module_dropout
from mmjax.layers.stack import Stack, StackConfig
from mmjax.layers.transformer import BlockConfig

FAMILIES = ("bert", "roberta", "xlm-roberta")
"""Values of ``model_type`` in a config.json that `load_bert` reads."""
_PREFIXES = ("bert.", "roberta.")
_HEADS = ("cls.", "lm_head.", "classifier.", "qa_outputs.")


@dataclass(frozen=True)
class BertConfig:
    """An encoder; the defaults are all-MiniLM-L6-v2."""

    vocabulary: int = 30_522
    """Tokens."""
    width: int = 384
    """Width m of the model."""
    layers: int = 6
    """Layers."""
    heads: int = 12
    """Attention heads."""
    hidden: int = 1536
    """Hidden width of the feed-forward networks."""
    positions: int = 512
    """Rows of the position table."""
    types: int = 2
    """Rows of the token type table; 0: there is none (MPNet)."""
    eps: float = 1e-12
    """Of the norms."""
    activation: Activation = "gelu"
    """Of the feed-forward networks."""
    dropout: float = 0.1
    """Dropout rate of embeddings and of what the layers add, in [0, 1)."""
    attention_dropout: float = 0.1
    """Dropout rate of the attention weights, in [0, 1)."""
    pad_id: int = 0
    """Token of padding."""
    pad_positions: bool = False
    """RoBERTa's positions: tokens are counted from ``pad_id + 1``, padding is at ``pad_id``."""
    buckets: int = 0
    """Buckets of a relative position bias that all layers share (MPNet); 0: none."""
    pooler: bool = True
    """A dense layer with tanh on the first token, which pretraining used."""
    dtype: Any = jnp.float32
    """Of the computation; parameters, softmax and norms are float32."""

    @property
    def longest(self) -> int:
        """The most tokens that a text may have."""
        return self.positions - (self.pad_id + 1 if self.pad_positions else 0)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], **changes: Any) -> "BertConfig":
        """From the ``config.json`` of published weights; what it leaves out is BERT's default.

        Raises:
            WeightsError: another family, or a variant that is not built here.
        """
        family = content.get("model_type")
        if family not in FAMILIES:
            raise WeightsError(f"model_type {family!r} is none of {', '.join(FAMILIES)}")
        activation = content.get("hidden_act", "gelu")
        kind = content.get("position_embedding_type") or "absolute"
        for name, found, right in (
            ("hidden_act", activation, activation in ACTIVATIONS),
            ("position_embedding_type", kind, kind == "absolute"),
            ("is_decoder", content.get("is_decoder"), not content.get("is_decoder")),
        ):
            if not right:
                raise WeightsError(f"config.json: {name} {found!r} is not supported")
        roberta = family != "bert"
        found = {
            "vocabulary": content.get("vocab_size", 50_265 if roberta else 30_522),
            "width": content.get("hidden_size", 768),
            "layers": content.get("num_hidden_layers", 12),
            "heads": content.get("num_attention_heads", 12),
            "hidden": content.get("intermediate_size", 3072),
            "positions": content.get("max_position_embeddings", 512),
            "types": content.get("type_vocab_size", 2),
            "eps": content.get("layer_norm_eps", 1e-12),
            "activation": activation,
            "dropout": content.get("hidden_dropout_prob", 0.1),
            "attention_dropout": content.get("attention_probs_dropout_prob", 0.1),
            "pad_id": content.get("pad_token_id", 1 if roberta else 0),
            "pad_positions": roberta,
        }
        return cls(**{**found, **changes})


class Bert(nn.Module):
    """Token, position and type embeddings, normalised, then post-norm Transformer layers.

    The whole is `embed`, `run` from the first layer to the last, and the pooler; who wants to act
    between two layers calls `run` twice.
    """

    config: BertConfig

    def setup(self) -> None:
        c, start = self.config, nn.initializers.normal(0.02)

        def table(rows: int) -> nn.Embed:
            return nn.Embed(rows, c.width, embedding_init=start, dtype=c.dtype)

        self.tokens, self.positions = table(c.vocabulary), table(c.positions)
        if c.types:
            self.types = table(c.types)
        self.embedding_norm = norms.norm("layer", c.eps, dtype=c.dtype)
        block = BlockConfig(
            width=c.width,
            heads=c.heads,
            hidden=c.hidden,
            pre_norm=False,
            eps=c.eps,
            activation=c.activation,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
            kernel_init=start,
            dtype=c.dtype,
        )
        self.encoder = Stack(StackConfig(block, c.layers, buckets=c.buckets, bias_init=start))
        if c.pooler:
            self.pooler = nn.Dense(c.width, kernel_init=start, dtype=c.dtype)

    def __call__(
        self,
        ids: Int[Array, "b s"],
        mask: Shaped[Array, "b s"] | None = None,
        types: Int[Array, "b s"] | None = None,
        *,
        train: bool = False,
    ) -> EncoderOutput:
        """Encode texts.

        Args:
            ids: tokens in [0, vocabulary).
            mask: 1 or True at tokens, 0 at padding, which then changes no token; None: all but
                `BertConfig.pad_id` are tokens.
            types: which of two texts a token is of; None is the first. Not read by a model
                without a table of types.
            train: draw dropout from the stream "dropout".

        Raises:
            ValueError: there are more positions than the model has.
        """
        mask = ids != self.config.pad_id if mask is None else mask
        hidden = self.run(self.embed(ids, types, train=train), mask, train=train)
        if not self.config.pooler:
            return EncoderOutput(hidden, hidden[-1])
        return EncoderOutput(hidden, hidden[-1], jnp.tanh(self.pooler(hidden[-1][:, 0])))

    def embed(
        self,
        ids: Int[Array, "b s"],
        types: Int[Array, "b s"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b s m"]:
        """The first layer's input.

        Raises:
            ValueError: there are more positions than the model has.
        """
        c = self.config
        if ids.shape[1] > c.longest:
            raise ValueError(f"{ids.shape[1]} tokens in a row, the model reads {c.longest}")
        if c.pad_positions:
            places = pad_positions(ids, c.pad_id)
        else:
            places = jnp.broadcast_to(jnp.arange(ids.shape[1])[None], ids.shape)
        x = self.tokens(ids) + self.positions(places)
        if c.types:
            x = x + self.types(jnp.zeros_like(ids) if types is None else types)
        return module_dropout(self, self.embedding_norm(x), c.dropout, train)

    def run(
        self,
        x: Float[Array, "b s m"],
        mask: Shaped[Array, "b s"],
        *,
        layers: tuple[int, int | None] = (0, None),
        prefixes: Mapping[int, KeysValues] | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "b s m"], ...]:
        """`x` and the output of each layer from the first of `layers` up to the second.

        Args:
            x: input of the first of them.
            mask: 1 or True at tokens.
            layers: the first layer and the one behind the last; None is the end.
            prefixes: by layer, keys and values ``[b, p, h, d]`` that are always seen (prompts).
            train: draw dropout from the stream "dropout".
        """
        return self.encoder(x, mask, layers=layers, prefixes=prefixes, train=train).hidden


def pad_positions(ids: Int[Array, "b s"], pad_id: int) -> Int[Array, "b s"]:
    """RoBERTa's positions: `pad_id` plus the number of tokens so far; `pad_id` at padding."""
    tokens = (ids != pad_id).astype(ids.dtype)
    return jnp.cumsum(tokens, axis=1) * tokens + pad_id


def bert_sources(config: BertConfig) -> dict[str, TensorSource]:
    """The published name of each parameter."""
    found = {
        f"{path}/embedding": TensorSource(f"embeddings.{name}_embeddings.weight")
        for path, name in (("tokens", "word"), ("positions", "position"), ("types", "token_type"))
    }
    found |= norm("embedding_norm", "embeddings.LayerNorm")
    for n in range(config.layers):
        ours, theirs = f"encoder/layer_{n}", f"encoder.layer.{n}"
        for part in ("query", "key", "value"):
            found |= linear(f"{ours}/attention/{part}", f"{theirs}.attention.self.{part}")
        found |= linear(f"{ours}/attention/out", f"{theirs}.attention.output.dense")
        found |= norm(f"{ours}/attention_norm", f"{theirs}.attention.output.LayerNorm")
        found |= linear(f"{ours}/feed_forward/in", f"{theirs}.intermediate.dense")
        found |= linear(f"{ours}/feed_forward/out", f"{theirs}.output.dense")
        found |= norm(f"{ours}/feed_forward_norm", f"{theirs}.output.LayerNorm")
    return found | linear("pooler", "pooler.dense") if config.pooler else found


def load_bert(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[Bert, dict[str, Any]]:
    """The encoder of a folder with ``config.json`` and ``model.safetensors``, and its parameters.

    Heads for other tasks (masked words, classes, answers) are left out. There is a pooler where
    the file has one.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.
        dtype: of the computation; parameters are float32.

    Returns:
        The module and its parameters, to be used as ``module.apply({"params": params}, ids)``.

    Raises:
        WeightsError: the folder lacks something, or holds another kind of model.
    """
    folder = local_folder(folder)
    names = tensor_names(folder, prefixes=_PREFIXES)
    pooler = "pooler.dense.weight" in names
    config = BertConfig.from_json(read_config(folder), pooler=pooler, dtype=dtype)
    model, ids = Bert(config), jnp.zeros((1, 1), jnp.int32)
    sources = bert_sources(config)
    params = load_module(folder, model, [ids], sources, prefixes=_PREFIXES, unused=_HEADS)
    return model, params
