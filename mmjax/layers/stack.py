"""Transformer layers one after the other, whole or one position at a time.

Axes: b batch, q positions, s positions of a memory, m width, h heads, w beams, t positions of a
cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped

from mmjax.blocks.attention.attention import causal, visible
from mmjax.layers.attention import KeysValues
from mmjax.layers.norms import norm
from mmjax.layers.relative_bias import RelativeBias
from mmjax.layers.transformer import Block, BlockConfig

DecodeCache = tuple[KeysValues, ...]
"""Keys and values of earlier positions, by layer: leaves ``[b, w, t, h, d]``.

A beam search that goes on from other beams takes every leaf along axis 1 by the parents.
"""


class CrossMemory(NamedTuple):
    """The memory as all decoding steps read it; none changes it."""

    keys_values: tuple[KeysValues, ...]
    """By layer, ``[b, s, h, d]``: one copy for all beams."""
    where: Bool[Array, "b 1 1 s"] | None
    """Positions that are no padding; None is all."""


class StackOutput(NamedTuple):
    """Outputs of a stack."""

    output: Float[Array, "b q m"]
    """Of the last layer, behind the last norm where there is one."""
    hidden: tuple[Float[Array, "b q m"], ...]
    """Input of the first layer, then the output of each; none of them behind the last norm."""


@dataclass(frozen=True)
class StackConfig:
    """Layers that share a configuration."""

    block: BlockConfig
    """The layer."""
    layers: int
    """Number of layers."""
    causal: bool = False
    """Positions see themselves and earlier ones only."""
    final_norm: bool = False
    """Normalise the last layer's output, as the pre-norm form needs it."""
    buckets: int = 0
    """Buckets of a relative position bias that all layers share (T5); 0: none."""
    max_distance: int = 128
    """Distance from which on all share a bucket."""
    bias_init: Any = nn.initializers.normal(0.02)
    """Initialiser of that bias."""


class Stack(nn.Module):
    """`StackConfig.layers` blocks, named ``layer_0`` on."""

    config: StackConfig

    def setup(self) -> None:
        c = self.config
        self.layer = [Block(c.block) for _ in range(c.layers)]
        if c.final_norm:
            b = c.block
            self.final_norm = norm(b.norm, b.eps, affine=b.affine_norm, dtype=b.dtype)
        if c.buckets:
            self.relative_bias = RelativeBias(
                c.block.heads, c.buckets, c.max_distance, not c.causal, c.bias_init
            )

    def __call__(
        self,
        x: Float[Array, "b q m"],
        mask: Shaped[Array, "b q"] | None = None,
        *,
        memory: Float[Array, "b s m"] | None = None,
        memory_mask: Shaped[Array, "b s"] | None = None,
        prefixes: Mapping[int, KeysValues] | None = None,
        layers: tuple[int, int | None] = (0, None),
        train: bool = False,
    ) -> StackOutput:
        """Apply all layers, or some that follow each other, to all positions.

        Args:
            x: input.
            mask: 1 or True at tokens, 0 at padding, whose content then changes no token; None is
                no padding.
            memory: what layers with `BlockConfig.cross` attend to.
            memory_mask: its padding.
            prefixes: by layer, further keys and values ``[b, p, h, d]`` of its self-attention.
            layers: the first layer that is applied and the one that no longer is; None is the
                end. Stacks cut in two and put together are the whole.
            train: draw dropout from the stream "dropout".

        Returns:
            The outputs; `StackOutput.output` is behind the last norm if the last layer was applied.

        Raises:
            ValueError: a memory is missing, or given to layers that do not attend to one; or a
                prefix is for a layer that is not applied.
        """
        first, stop = layers[0], self.config.layers if layers[1] is None else layers[1]
        prefixes = prefixes or {}
        if not 0 <= first <= stop <= self.config.layers or not all(
            first <= n < stop for n in prefixes
        ):
            raise ValueError(
                f"layers {first} to {stop} of {self.config.layers} with prefixes in "
                f"{sorted(prefixes)}: prefixes belong to layers that are applied"
            )
        length = x.shape[1]
        where = None if mask is None else visible(mask)
        if self.config.causal:
            where = causal(length) if where is None else causal(length) & where
        bias = self.relative_bias(length, length) if self.config.buckets else None
        hidden = [x]
        for n, block in enumerate(self.layer[first:stop], first):
            x = block(
                x,
                where=where,
                bias=bias,
                memory=memory,
                memory_where=None if memory_mask is None else visible(memory_mask),
                prefix=prefixes.get(n),
                train=train,
            )
            hidden.append(x)
        return StackOutput(self._finish(x) if stop == self.config.layers else x, tuple(hidden))

    def _finish(self, x: Array) -> Array:
        return self.final_norm(x) if self.config.final_norm else x

    def start(
        self,
        memory: Float[Array, "b s m"],
        mask: Shaped[Array, "b s"] | None = None,
        *,
        beams: int,
        length: int,
    ) -> tuple[CrossMemory, DecodeCache]:
        """Keys and values of the memory, and an empty cache, for the first `step`.

        Args:
            memory: what the layers attend to.
            mask: its padding.
            beams: beams w of each row.
            length: positions t that the cache holds, the most that will be decoded.
        """
        keys_values = tuple(block.remember(memory) for block in self.layer)
        cross = CrossMemory(keys_values, None if mask is None else visible(mask))
        return cross, tuple(block.empty(len(memory), beams, length) for block in self.layer)

    def step(
        self,
        cache: DecodeCache,
        memory: CrossMemory,
        x: Float[Array, "b w m"],
        position: int | Int[Array, ""],
    ) -> tuple[Float[Array, "b w m"], DecodeCache]:
        """All layers at one position of each beam; equals that position of the whole.

        Args:
            cache: earlier positions.
            memory: from `start`.
            x: the position's input, one a beam.
            position: in [0, t), the same for all beams.

        Raises:
            ValueError: the layers are not causal, or the cache has no such position.
        """
        if not self.config.causal:
            raise ValueError("only causal layers go step by step: StackConfig.causal is False")
        length = cache[0].key.shape[2]
        if isinstance(position, int) and not 0 <= position < length:
            raise ValueError(f"position {position} is outside a cache of {length}: start a longer")
        bias = self.relative_bias.at(position, length) if self.config.buckets else None
        extended = []
        for block, old, keys_values in zip(self.layer, cache, memory.keys_values, strict=True):
            x, new = block.step(
                x, old, position, bias=bias, memory=keys_values, memory_where=memory.where
            )
            extended.append(new)
        return self._finish(x), tuple(extended)
