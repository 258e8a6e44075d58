"""T5's encoder-decoder, from tokens or vectors to tokens.

C. Raffel et al., JMLR 2020, arXiv 1910.10683; TIGER (arXiv 2305.05065) generates item ids by it.

Axes: b batch, s source positions, t target positions, m width, w beams, v vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int, Shaped

from mmjax.layers.activations import Activation
from mmjax.layers.dropout import module_dropout
from mmjax.layers.stack import CrossMemory, DecodeCache, Stack, StackConfig
from mmjax.layers.transformer import BlockConfig


@dataclass(frozen=True)
class Seq2SeqConfig:
    """An encoder-decoder; the defaults are TIGER's T5 v1.0."""

    vocabulary: int
    """Tokens v, which encoder and decoder share."""
    width: int = 128
    """Width m of the model."""
    layers: int = 4
    """Layers of the encoder."""
    decoder_layers: int = 4
    """Layers of the decoder."""
    heads: int = 6
    """Attention heads."""
    head_width: int = 64
    """Width of a head, independent of the model's."""
    hidden: int = 1024
    """Hidden width of the feed-forward networks."""
    activation: Activation = "relu"
    """Of the feed-forward networks."""
    gated: bool = False
    """Gated feed-forward networks, as in T5 v1.1 with ``gelu_new``."""
    tied: bool = True
    """Logits are inner products with the token embeddings, over the root of the width; False:
    a matrix of their own, without that factor (T5 v1.1)."""
    dropout: float = 0.1
    """Dropout rate everywhere, in [0, 1)."""
    buckets: int = 32
    """Buckets of the relative position bias."""
    max_distance: int = 128
    """Distance from which on positions share a bucket."""
    eps: float = 1e-6
    """Of the norms."""
    start_id: int = 0
    """Token before the first target; T5 uses that of padding."""
    dtype: Any = jnp.float32
    """Of the computation; parameters, softmax and logits are float32."""

    def stack(self, *, decoder: bool) -> StackConfig:
        """The layers of the encoder or of the decoder.

        T5 starts its kernels at N(0, 1 / inputs), those of the unscaled queries smaller.
        """
        block = BlockConfig(
            width=self.width,
            heads=self.heads,
            head_width=self.head_width,
            hidden=self.hidden,
            norm="rms",
            eps=self.eps,
            bias=False,
            activation=self.activation,
            gated=self.gated,
            scaled=False,
            cross=decoder,
            dropout=self.dropout,
            attention_dropout=self.dropout,
            hidden_dropout=self.dropout,
            dtype=self.dtype,
        )
        return StackConfig(
            block,
            self.decoder_layers if decoder else self.layers,
            causal=decoder,
            final_norm=True,
            buckets=self.buckets,
            max_distance=self.max_distance,
            bias_init=nn.initializers.normal(self.width**-0.5),
        )


class Seq2Seq(nn.Module):
    """T5: pre-norm RMS layers without biases, relative positions, a causal decoder.

    Teacher forcing is ``decode(targets, encode(inputs, mask), mask)``; generation is `start` and
    then one `step` a token, with equal logits.
    """

    config: Seq2SeqConfig

    def setup(self) -> None:
        c = self.config
        self.embedding = nn.Embed(
            c.vocabulary, c.width, embedding_init=nn.initializers.normal(1.0), dtype=c.dtype
        )
        self.encoder = Stack(c.stack(decoder=False))
        self.decoder = Stack(c.stack(decoder=True))
        if not c.tied:
            self.head = self.param(
                "head", c.stack(decoder=True).block.kernel_init, (c.width, c.vocabulary)
            )

    def __call__(
        self,
        inputs: Int[Array, "b s"] | Float[Array, "b s m"],
        targets: Int[Array, "b t"] | Float[Array, "b t m"],
        mask: Shaped[Array, "b s"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b t v"]:
        """Logits of all targets under teacher forcing: `encode`, then `decode`."""
        return self.decode(targets, self.encode(inputs, mask, train=train), mask, train=train)

    def encode(
        self,
        inputs: Int[Array, "b s"] | Float[Array, "b s m"],
        mask: Shaped[Array, "b s"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b s m"]:
        """The memory that the decoder reads.

        Args:
            inputs: token ids in [0, v), or vectors in their place.
            mask: 1 or True at tokens, 0 at padding; None is no padding.
            train: draw dropout from the stream "dropout".
        """
        x = module_dropout(self, self._embed(inputs), self.config.dropout, train)
        out = self.encoder(x, mask, train=train).output
        return module_dropout(self, out, self.config.dropout, train)

    def decode(
        self,
        targets: Int[Array, "b t"] | Float[Array, "b t m"],
        memory: Float[Array, "b s m"],
        mask: Shaped[Array, "b s"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b t v"]:
        """float32 logits of every target given those before it.

        Args:
            targets: token ids, which are moved one place to the right behind the start token
                before they go in: the logits at t predict target t. Vectors go in as they are.
                Padding at the end needs no mask: nothing before it looks ahead.
            memory: from `encode`.
            mask: the memory's padding, as given to `encode`.
            train: draw dropout from the stream "dropout".
        """
        if jnp.issubdtype(targets.dtype, jnp.integer):
            targets = shift_right(targets, self.config.start_id)
        x = module_dropout(self, self._embed(targets), self.config.dropout, train)
        out = self.decoder(x, memory=memory, memory_mask=mask, train=train).output
        return self._logits(module_dropout(self, out, self.config.dropout, train))

    def start(
        self,
        memory: Float[Array, "b s m"],
        mask: Shaped[Array, "b s"] | None = None,
        *,
        beams: int,
        length: int,
    ) -> tuple[CrossMemory, DecodeCache]:
        """State of generation before the first `step`.

        Args:
            memory: from `encode`.
            mask: its padding.
            beams: beams w of each row.
            length: tokens that will be decoded at most.

        Returns:
            The memory as all steps read it, keys and values ``[b, s, h, d]`` of
            every layer, once for all beams; and an empty cache, whose leaves ``[b, w, ...]`` a
            search reorders when it goes on from other beams.
        """
        return self.decoder.start(memory, mask, beams=beams, length=length)

    def step(
        self,
        cache: DecodeCache,
        memory: CrossMemory,
        tokens: Int[Array, "b w"],
        position: int | Int[Array, ""],
    ) -> tuple[Float[Array, "b w v"], DecodeCache]:
        """Logits of the token at `position` of every beam, and the cache with one position more.

        Args:
            cache, memory: from `start`, or the cache of the step before.
            tokens: each beam's token before `position`; `Seq2SeqConfig.start_id` at first.
            position: counted from 0, the same for all beams.

        Raises:
            ValueError: the cache has no such position.
        """
        x, cache = self.decoder.step(cache, memory, self.embedding(tokens), position)
        return self._logits(x), cache

    def _embed(self, x: Array) -> Array:
        if jnp.issubdtype(x.dtype, jnp.integer):
            return self.embedding(x)
        return x.astype(self.config.dtype)

    def _logits(self, x: Array) -> Array:
        tied = self.config.tied
        table = (self.embedding.embedding.T if tied else self.head).astype(self.config.dtype)
        # As one matrix: jax 0.7.2 has no such product of three axes in half precision on CPU.
        rows = x.reshape(-1, x.shape[-1])
        logits = jnp.matmul(rows, table, preferred_element_type=jnp.float32)
        logits = logits.reshape(*x.shape[:-1], table.shape[1])
        return logits / math.sqrt(x.shape[-1]) if tied else logits


def shift_right(tokens: Int[Array, "b t"], start_id: int) -> Int[Array, "b t"]:
    """`start_id`, then all tokens but the last."""
    return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=start_id)
