"""The network of TIGER.

Axes: b users, n items of a history, l levels of an id, s source positions, v tokens of the
vocabulary, i items, w beams, c codes of a level.
"""

from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float, Int, Integer

from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig
from mmjax.models.generative.tiger.config import TIGERConfig


class TIGER(nn.Module):
    """A T5 over the codes of items.

    Token 0 pads and starts the decoder; behind it come the codes, level by level, then the users'
    tokens.
    """

    config: TIGERConfig
    sizes: tuple[int, ...]
    """Codes of each level."""

    @property
    def first(self) -> tuple[int, ...]:
        """The token of code 0, by level; then the first token behind all codes."""
        return tuple(accumulate(self.sizes, initial=1))

    def setup(self) -> None:
        c = self.config
        self.t5 = Seq2Seq(
            Seq2SeqConfig(
                self.first[-1] + c.user_buckets,
                width=c.width,
                layers=c.layers,
                decoder_layers=c.layers,
                heads=c.heads,
                head_width=c.head_width,
                hidden=c.hidden,
                dropout=c.dropout,
                dtype=jnp.dtype(c.dtype),
            )
        )

    def __call__(
        self,
        codes: Integer[Array, "i l"],
        history: Int[Array, "b n"],
        user: Int[Array, "b"],
        item: Int[Array, "b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b l v"]:
        """Logits of every code of the next item given those before it.

        Args:
            codes: ids of all items.
            history: items, oldest first; -1 at places that hold none, wherever these are.
            user: whose they are, from 0.
            item: the next one.
            train: draw dropout from the stream "dropout".
        """
        tokens, mask = self.source(codes, history, user)
        return self.t5(tokens, self._tokens(codes)[item], mask, train=train)

    def start(
        self, codes: Integer[Array, "i l"], history: Int[Array, "b n"], user: Int[Array, "b"]
    ) -> tuple[Any, Any]:
        """Arrays that all steps of a search read, and the state of its one beam."""
        tokens, mask = self.source(codes, history, user)
        memory = self.t5.encode(tokens, mask)
        return self.t5.start(memory, mask, beams=1, length=len(self.sizes))

    def step(
        self, fixed: Any, cache: Any, last: Int[Array, "b w"] | None, level: int
    ) -> tuple[Float[Array, "b w c"], Any]:
        """Logits of the codes of `level` after the code `last`, as `beam_search` asks for them.

        With probabilities over the whole vocabulary the other tokens' logits follow behind.
        """
        if last is None:
            tokens = jnp.zeros(jax.tree.leaves(cache)[0].shape[:2], jnp.int32)
        else:
            tokens = last + self.first[level - 1]
        logits, cache = self.t5.step(cache, fixed, tokens, level)
        return self.of_level(logits, level), cache

    def of_level(self, logits: Float[Array, "*b v"], level: int) -> Float[Array, "*b c"]:
        """The logits that a level's probabilities are over, its codes first."""
        first, stop = self.first[level : level + 2]
        if self.config.softmax == "level":
            return logits[..., first:stop]
        return jnp.roll(logits, -first, axis=-1)

    def _tokens(self, codes: Integer[Array, "i l"]) -> Int[Array, "i l"]:
        return codes + jnp.array([self.first[:-1]], jnp.int32)

    def source(
        self, codes: Integer[Array, "i l"], history: Int[Array, "b n"], user: Int[Array, "b"]
    ) -> tuple[Int[Array, "b s"], Bool[Array, "b s"]]:
        """Tokens that the encoder reads, padding last, and which of them count."""
        # The user's token keeps its distance to the items whatever the length of the row.
        order = jnp.argsort(history < 0, axis=1, stable=True)
        history = jnp.take_along_axis(history, order, axis=1)
        where = history >= 0
        tokens = self._tokens(codes)[jnp.maximum(history, 0)].reshape(len(user), -1)
        mask = jnp.repeat(where, len(self.sizes), axis=1)
        if self.config.user_buckets:
            own = self.first[-1] + user % self.config.user_buckets
            tokens = jnp.concatenate([own[:, None], tokens], axis=1)
            mask = jnp.pad(mask, ((0, 0), (1, 0)), constant_values=True)
        return jnp.where(mask, tokens, 0), mask
