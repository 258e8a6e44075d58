"""One configurable Transformer layer: BERT's, T5's, ViT's, a recommender's own.

Axes: b batch, q positions, s positions of a memory, m width, h heads, d width of a head, w beams.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float, Int

from mmjax.layers.activations import Activation
from mmjax.layers.attention import Attention, KeysValues
from mmjax.layers.dropout import module_dropout
from mmjax.layers.feed_forward import FeedForward
from mmjax.layers.norms import Norm, norm


@dataclass(frozen=True)
class BlockConfig:
    """A Transformer layer."""

    width: int
    """Width m of the model."""
    heads: int
    """Attention heads h."""
    hidden: int
    """Hidden width of the feed-forward network."""
    head_width: int = 0
    """Width d of a head; 0 is width / heads."""
    pre_norm: bool = True
    """Normalise before attention and feed-forward network; False: the sums behind them (BERT)."""
    norm: Norm = "layer"
    """Mean and variance, or root mean square alone (T5)."""
    eps: float = 1e-5
    """Added to the variance or mean square."""
    affine_norm: bool = True
    """Give the norms parameters."""
    bias: bool = True
    """Give the linear maps biases."""
    activation: Activation = "gelu"
    """Of the feed-forward network."""
    gated: bool = False
    """Gate the feed-forward network with a second map."""
    scaled: bool = True
    """Divide the attention's products by the root of the head's width; T5 does not."""
    cross: bool = False
    """Attend to a memory between self-attention and feed-forward network."""
    dropout: float = 0.0
    """Dropout rate behind attention and feed-forward network, in [0, 1)."""
    attention_dropout: float = 0.0
    """Dropout rate of the attention weights, in [0, 1)."""
    hidden_dropout: float = 0.0
    """Dropout rate inside the feed-forward network, in [0, 1)."""
    kernel_init: Any = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    """Initialiser of the linear maps."""
    dtype: Any = jnp.float32
    """Of the computation; parameters and softmax are float32."""

    def __post_init__(self) -> None:
        """Fill in the width of a head.

        Raises:
            ValueError: it is not given, and `width` is no multiple of `heads`.
        """
        if not self.head_width:
            if self.width % self.heads:
                raise ValueError(
                    f"width {self.width} is no multiple of {self.heads} heads: name head_width"
                )
            object.__setattr__(self, "head_width", self.width // self.heads)


class Block(nn.Module):
    """Self-attention, attention to a memory where there is one, feed-forward network.

    Each of them, f, gives ``x + f(norm(x))`` in the pre-norm form and ``norm(x + f(x))`` in the
    post-norm form, with dropout on f's output.
    """

    config: BlockConfig

    def setup(self) -> None:
        c = self.config

        def attention() -> Attention:
            return Attention(
                c.width,
                c.heads,
                c.head_width,
                bias=c.bias,
                scaled=c.scaled,
                rate=c.attention_dropout,
                kernel_init=c.kernel_init,
                dtype=c.dtype,
            )

        def normaliser() -> Any:
            return norm(c.norm, c.eps, affine=c.affine_norm, dtype=c.dtype)

        self.attention, self.attention_norm = attention(), normaliser()
        if c.cross:
            self.cross, self.cross_norm = attention(), normaliser()
        self.feed_forward = FeedForward(
            c.hidden,
            c.activation,
            gated=c.gated,
            bias=c.bias,
            rate=c.hidden_dropout,
            kernel_init=c.kernel_init,
            dtype=c.dtype,
        )
        self.feed_forward_norm = normaliser()

    def __call__(
        self,
        x: Float[Array, "b q m"],
        *,
        where: Bool[Array, "_ _ _ _"] | None = None,
        bias: Float[Array, "_ _ _ _"] | None = None,
        added_values: Float[Array, "b q _ d"] | None = None,
        memory: Float[Array, "b s m"] | None = None,
        memory_where: Bool[Array, "_ _ _ _"] | None = None,
        prefix: KeysValues | None = None,
        train: bool = False,
    ) -> Float[Array, "b q m"]:
        """Apply the layer to all positions.

        Args:
            x: input.
            where: keys that a query may see, broadcasts to ``[b, h, q, q]``: padding, causality.
            bias: added to the logits of self-attention, broadcast likewise.
            added_values: added to the values of self-attention (see `Attention`).
            memory: what a layer with `cross` attends to.
            memory_where: which of it a query may see, broadcasts to ``[b, h, q, s]``.
            prefix: further keys and values of self-attention (see `Attention`).
            train: draw dropout from the stream "dropout".

        Raises:
            ValueError: a memory is missing, or given to a layer without `cross`.
        """
        if (memory is not None) != self.config.cross:
            raise ValueError(
                "a layer with cross=True needs memory="
                if memory is None
                else "memory= was given to a layer without cross=True"
            )
        x = self._around(
            partial(
                self.attention,
                bias=bias,
                where=where,
                added_values=added_values,
                prefix=prefix,
                train=train,
            ),
            self.attention_norm,
            x,
            train,
        )
        if memory is not None:
            read = partial(self.cross, memory=memory, where=memory_where, train=train)
            x = self._around(read, self.cross_norm, x, train)
        feed_forward = partial(self.feed_forward, train=train)
        return self._around(feed_forward, self.feed_forward_norm, x, train)

    def _around(
        self, f: Callable[[Array], Array], norm: Callable[[Array], Array], x: Array, train: bool
    ) -> Array:
        """The residual connection around `f`, with the norm on its side of it."""
        if self.config.pre_norm:
            return x + module_dropout(self, f(norm(x)), self.config.dropout, train)
        return norm(x + module_dropout(self, f(x), self.config.dropout, train))

    def remember(self, memory: Float[Array, "b s m"]) -> KeysValues:
        """Keys and values of a memory for `step`; the same for every position and beam."""
        return self.cross.project(memory)

    def empty(self, batch: int, beams: int, length: int) -> KeysValues:
        """A cache of self-attention for `length` positions of each beam."""
        return self.attention.empty(batch, beams, length)

    def step(
        self,
        x: Float[Array, "b w m"],
        cache: KeysValues,
        position: int | Int[Array, ""],
        *,
        bias: Float[Array, "_ _ _ _ _"] | None = None,
        memory: KeysValues | None = None,
        memory_where: Bool[Array, "_ _ _ _"] | None = None,
    ) -> tuple[Float[Array, "b w m"], KeysValues]:
        """The layer, causal, at one position of each beam; the position joins the cache.

        Args:
            x: the position's input, one a beam.
            cache: earlier positions.
            position: in [0, t), the same for all beams.
            bias: added to the logits of self-attention, broadcasts to ``[b, w, h, 1, t]``.
            memory: from `remember`. All beams of a row read it as it is: they stand on its
                queries' axis.
            memory_where: which of it the beams may see, broadcasts to ``[b, h, w, s]``.
        """
        extended = cache

        def attention(y: Array) -> Array:
            nonlocal extended
            mixed, extended = self.attention.step(y, cache, position, bias=bias)
            return mixed

        x = self._around(attention, self.attention_norm, x, False)
        if memory is not None:
            read = partial(self.cross.read, seen=memory, where=memory_where)
            x = self._around(read, self.cross_norm, x, False)
        return self._around(self.feed_forward, self.feed_forward_norm, x, False), extended
