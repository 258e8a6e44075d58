"""CLIP's towers of texts and of images from published weights, together or one alone.

A. Radford et al., ICML 2021, arXiv 2103.00020.

Axes: b texts or images, i images, t texts, s positions, y rows and x columns of pixels, c channels,
m width, p width of the shared space.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int, Shaped

from mmjax.blocks.common.projection import l2_normalise
from mmjax.encoders.encode.outputs import EncoderOutput
from mmjax.layers import norms
from mmjax.layers.activations import Activation
from mmjax.layers.patches import Patches
from mmjax.layers.stack import Stack, StackConfig
from mmjax.layers.transformer import BlockConfig

_START = nn.initializers.normal(0.02)


@dataclass(frozen=True)
class ClipTextConfig:
    """The tower of texts; the defaults are clip-vit-base-patch32."""

    vocabulary: int = 49_408
    """Tokens."""
    width: int = 512
    """Width m of the model."""
    layers: int = 12
    """Layers."""
    heads: int = 8
    """Attention heads."""
    hidden: int = 2048
    """Hidden width of the feed-forward networks."""
    positions: int = 77
    """The most tokens of a text."""
    eps: float = 1e-5
    """Of the norms."""
    activation: Activation = "quick_gelu"
    """Of the feed-forward networks."""
    attention_dropout: float = 0.0
    """Dropout rate of the attention weights, in [0, 1)."""
    end_id: int | None = 49_407
    """Token whose first place a text's vector is read at; None: the token of the highest id, as
    files say by the wrong number 2."""
    pad_id: int = 0
    """Token of padding; nothing depends on it."""
    projection: int = 512
    """Width p of the shared space; 0: there is no projection."""
    dtype: Any = jnp.float32
    """Of the computation; parameters, softmax and norms are float32."""

    @property
    def longest(self) -> int:
        """The most tokens that a text may have."""
        return self.positions


@dataclass(frozen=True)
class ClipVisionConfig:
    """The tower of images; the defaults are clip-vit-base-patch32."""

    image: tuple[int, int] = (224, 224)
    """Rows and columns of an image's pixels."""
    patch: tuple[int, int] = (32, 32)
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
    eps: float = 1e-5
    """Of the norms."""
    activation: Activation = "quick_gelu"
    """Of the feed-forward networks."""
    attention_dropout: float = 0.0
    """Dropout rate of the attention weights, in [0, 1)."""
    projection: int = 512
    """Width p of the shared space; 0: there is no projection."""
    dtype: Any = jnp.float32
    """Of the computation; parameters, softmax and norms are float32."""


@dataclass(frozen=True)
class ClipConfig:
    """Both towers."""

    text: ClipTextConfig = ClipTextConfig()
    vision: ClipVisionConfig = ClipVisionConfig()
    logit_scale: float = 2.6592
    """Logarithm of the factor on cosines at the start of training."""


def _stack(c: ClipTextConfig | ClipVisionConfig, **changes: Any) -> Stack:
    block = BlockConfig(
        width=c.width,
        heads=c.heads,
        hidden=c.hidden,
        eps=c.eps,
        activation=c.activation,
        attention_dropout=c.attention_dropout,
        kernel_init=_START,
        dtype=c.dtype,
    )
    return Stack(StackConfig(block, c.layers, **changes), name="encoder")


def _project(c: ClipTextConfig | ClipVisionConfig, pooled: Array) -> Array | None:
    if not c.projection:
        return None
    linear = nn.Dense(c.projection, use_bias=False, kernel_init=_START, dtype=c.dtype, name="out")
    return linear(pooled)


class ClipText(nn.Module):
    """Tokens and positions, causal pre-norm layers, a norm, and the vector at the text's end."""

    config: ClipTextConfig

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
            ids: tokens in [0, vocabulary); a text without an end is read at its first token.
            mask: 1 or True at tokens, 0 at padding; None: all are tokens. Padding behind the end
                changes no vector in any case, as positions see earlier ones only.
            train: draw dropout from the stream "dropout".

        Raises:
            ValueError: there are more positions than the model has.
        """
        c = self.config
        if ids.shape[1] > c.longest:
            raise ValueError(f"{ids.shape[1]} tokens in a row, the model reads {c.longest}")
        tokens = nn.Embed(
            c.vocabulary, c.width, embedding_init=_START, dtype=c.dtype, name="tokens"
        )
        places = self.param("positions", _START, (c.positions, c.width))
        x = tokens(ids) + places[None, : ids.shape[1]].astype(c.dtype)
        states = _stack(c, causal=True, final_norm=True)(x, mask, train=train)
        end = jnp.argmax(ids if c.end_id is None else ids == c.end_id, axis=1)
        pooled = jnp.take_along_axis(states.output, end[:, None, None], axis=1)[:, 0]
        return EncoderOutput(states.hidden, states.output, pooled, _project(c, pooled))


class ClipVision(nn.Module):
    """A learned token and patches, positions, a norm, pre-norm layers; the token normalised."""

    config: ClipVisionConfig

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
        patches = Patches(
            c.image, c.patch, c.channels, c.width, bias=False, dtype=c.dtype, name="patches"
        )
        front = self.param("class_token", _START, (c.width,)).astype(c.dtype)
        rows = jnp.broadcast_to(front[None, None], (len(pixels), 1, c.width))
        x = jnp.concatenate([rows, patches(pixels)], axis=1)
        places = self.param("positions", _START, (patches.count + 1, c.width))
        x = x + places[None].astype(c.dtype)
        x = norms.norm("layer", c.eps, dtype=c.dtype, name="embedding_norm")(x)
        states = _stack(c)(x, train=train)
        final = norms.norm("layer", c.eps, dtype=c.dtype, name="pooled_norm")
        pooled = final(states.output[:, 0])
        return EncoderOutput(states.hidden, states.output, pooled, _project(c, pooled))


class ClipOutput(NamedTuple):
    """Outputs of both towers."""

    text: EncoderOutput
    image: EncoderOutput
    logits: Float[Array, "i t"]
    """Cosines of all images with all texts, times the learned factor."""


class Clip(nn.Module):
    """Both towers, with their projections, and the factor on the cosines of their vectors."""

    config: ClipConfig

    def setup(self) -> None:
        c = self.config
        self.text, self.vision = ClipText(c.text), ClipVision(c.vision)
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(c.logit_scale), ())

    def __call__(
        self,
        ids: Int[Array, "t s"],
        pixels: Float[Array, "i y x c"],
        mask: Shaped[Array, "t s"] | None = None,
        *,
        train: bool = False,
    ) -> ClipOutput:
        """Encode texts and images, as many of each as one likes; arguments as for the towers."""
        text, image = self.text(ids, mask, train=train), self.vision(pixels, train=train)
        a, b = (l2_normalise(jnp.asarray(x.projected, jnp.float32)) for x in (image, text))
        return ClipOutput(text, image, jnp.exp(self.logit_scale) * a @ b.T)
