"""Attention of several heads with its projections, whole or one position at a time.

Axes: *b any leading axes, b batch, q queries, s keys, m width of the model, h heads, d width of a
head, p positions of a prefix, w beams, t positions of a cache.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from mmjax.blocks.attention.attention import attend


class KeysValues(NamedTuple):
    """Projected keys and values: of a memory ``[b, s, h, d]``, or a cache ``[b, w, t, h, d]``."""

    key: Float[Array, "*b s h d"]
    value: Float[Array, "*b s h d"]


def with_prefix(
    prefix: KeysValues,
    seen: KeysValues,
    bias: Float[Array, "_ _ _ _"] | None = None,
    where: Bool[Array, "_ _ _ _"] | None = None,
) -> tuple[KeysValues, Float[Array, "_ _ _ _"] | None, Bool[Array, "_ _ _ _"] | None]:
    """Keys and values with the prefix before them, and the bias and mask to go with these.

    A prefix is never masked and has no bias, also where one column of either stands for all keys.
    """
    length, keys = prefix.key.shape[1], seen.key.shape[1]
    extended = KeysValues(
        *(jnp.concatenate([p.astype(x.dtype), x], 1) for p, x in zip(prefix, seen, strict=True))
    )
    before = ((0, 0), (0, 0), (0, 0), (length, 0))
    if bias is not None:
        bias = jnp.pad(jnp.broadcast_to(bias, (*bias.shape[:-1], keys)), before)
    if where is not None:
        whole = jnp.broadcast_to(where, (*where.shape[:-1], keys))
        where = jnp.pad(whole, before, constant_values=True)
    return extended, bias, where


class Attention(nn.Module):
    """``softmax(scale * (x W_q)(y W_k)' + bias) (y W_v) W_o``, in every head; y is x or a memory.

    A. Vaswani et al., NeurIPS 2017, arXiv 1706.03762. The width of a head is free: the heads
    together need not be as wide as the model.

    Attributes:
        width: width m of the model, of what comes in and goes out.
        heads: number of heads h.
        head_width: width d of a head.
        bias: whether the four maps have biases.
        scaled: divide the products by the root of d. Without (T5) the queries start smaller by
            the same factor.
        rate: dropout rate of the attention weights, in [0, 1).
        kernel_init: initialiser of the four maps.
        dtype: of the computation; parameters are float32.
    """

    width: int
    heads: int
    head_width: int
    bias: bool = True
    scaled: bool = True
    rate: float = 0.0
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    def setup(self) -> None:
        root, init = self.head_width**-0.5, self.kernel_init

        def split(kernel_init: Any) -> nn.DenseGeneral:
            return nn.DenseGeneral(
                (self.heads, self.head_width),
                use_bias=self.bias,
                kernel_init=kernel_init,
                dtype=self.dtype,
            )

        self.query = split(init if self.scaled else lambda *args: root * init(*args))
        self.key, self.value = split(init), split(init)
        self.out = nn.DenseGeneral(
            self.width, axis=(-2, -1), use_bias=self.bias, kernel_init=init, dtype=self.dtype
        )

    def __call__(
        self,
        x: Float[Array, "b q m"],
        memory: Float[Array, "b s m"] | None = None,
        *,
        bias: Float[Array, "_ _ _ _"] | None = None,
        where: Bool[Array, "_ _ _ _"] | None = None,
        added_values: Float[Array, "b s _ d"] | None = None,
        prefix: KeysValues | None = None,
        train: bool = False,
    ) -> Float[Array, "b q m"]:
        """Attend from `x` to itself or to `memory`.

        Args:
            x: queries' side.
            memory: keys' side; None is `x`.
            bias: added to the logits, broadcasts to ``[b, h, q, s]``.
            where: keys that a query may see, likewise; a query that sees none gets ``b_o``.
            added_values: added to the values before they are mixed, one for all heads (size 1) or
                each its own. With `bias` this is attention with a relation term (MMGRec).
            prefix: keys and values ``[b, p, h, d]`` that every query sees too, whatever `where`
                says, without a bias (prefix tuning, arXiv 2101.00190).
            train: draw dropout from the stream "dropout".
        """
        seen = self.project(x if memory is None else memory)
        if added_values is not None:
            seen = seen._replace(value=seen.value + added_values.astype(seen.value.dtype))
        if prefix is not None:
            seen, bias, where = with_prefix(prefix, seen, bias, where)
        return self.read(x, seen, bias=bias, where=where, train=train)

    def project(self, memory: Float[Array, "*b s m"]) -> KeysValues:
        """Keys and values of a memory, which `read` takes as often as one likes."""
        return KeysValues(self.key(memory), self.value(memory))

    def read(
        self,
        x: Float[Array, "*b q m"],
        seen: KeysValues,
        *,
        bias: Float[Array, "..."] | None = None,
        where: Bool[Array, "..."] | None = None,
        train: bool = False,
    ) -> Float[Array, "*b q m"]:
        """Attend from `x` to projected keys and values."""
        mixed = attend(
            self.query(x),
            *seen,
            bias=bias,
            where=where,
            scale=self.head_width**-0.5 if self.scaled else 1.0,
            rate=self.rate,
            rng=self.make_rng("dropout") if train and self.rate else None,
        )
        return self.out(mixed)

    def empty(self, batch: int, beams: int, length: int) -> KeysValues:
        """A cache for `length` positions of each beam, ``[b, w, t, h, d]``."""
        zeros = jnp.zeros((batch, beams, length, self.heads, self.head_width), self.dtype)
        return KeysValues(zeros, zeros)

    def step(
        self,
        x: Float[Array, "b w m"],
        cache: KeysValues,
        position: int | Int[Array, ""],
        *,
        bias: Float[Array, "_ _ _ _ _"] | None = None,
    ) -> tuple[Float[Array, "b w m"], KeysValues]:
        """Causal self-attention of one position of each beam, whose keys and values join the cache.

        Args:
            x: the position's vectors, one a beam.
            cache: earlier positions; later ones are never read.
            position: in [0, t); counted from 0, the same for all beams.
            bias: added to the logits, broadcasts to ``[b, w, h, 1, t]``.
        """
        extended = KeysValues(
            *(
                lax.dynamic_update_slice_in_dim(old, new[:, :, None], position, 2)
                for old, new in zip(cache, self.project(x), strict=True)
            )
        )
        past = (jnp.arange(extended.key.shape[2]) <= position).reshape(1, 1, 1, 1, -1)
        return self.read(x[:, :, None], extended, bias=bias, where=past)[:, :, 0], extended
