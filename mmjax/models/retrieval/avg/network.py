"""The network of `avg`: a T5 over the tokens of captions and of images.

Axes: b captions, s tokens of a caption, l levels, t tokens that are written (l and the end), v
tokens of the vocabulary, c candidates of a caption, w beams, z latent width.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int, Integer

from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig
from mmjax.models.retrieval.avg.config import AVGConfig
from mmjax.objective import Params

PAD, END = 0, 1
"""Tokens that every vocabulary of captions has, as T5's: padding, which starts the decoder, and
what ends the vokens. A caption may end with it too."""


class AVG(nn.Module):
    """A T5 over the tokens of captions, and behind them the vokens."""

    config: AVGConfig
    vocabulary: int
    sizes: tuple[int, ...]
    """Codes of each level."""

    @property
    def first(self) -> tuple[int, ...]:
        """The token of code 0, by level; then the end's."""
        own = (0,) * len(self.sizes) if self.config.shared else accumulate(self.sizes, initial=0)
        return (*(self.vocabulary + n for n, _ in zip(own, self.sizes, strict=False)), END)

    @property
    def tokens(self) -> int:
        """Size v of the whole vocabulary."""
        return self.vocabulary + (max(self.sizes) if self.config.shared else sum(self.sizes))

    def setup(self) -> None:
        c = self.config
        self.t5 = Seq2Seq(
            Seq2SeqConfig(
                self.tokens,
                width=c.width,
                layers=c.layers,
                decoder_layers=c.layers,
                heads=c.heads,
                head_width=c.head_width,
                hidden=c.hidden,
                dropout=c.dropout,
                start_id=PAD,
                dtype=jnp.dtype(c.dtype),
            )
        )

    def targets(self, codes: Integer[Array, "*b l"]) -> Int[Array, "*b t"]:
        """Tokens of codes, the end behind them."""
        ended = jnp.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, 1)])
        shift = jnp.asarray(self.first, jnp.int32)
        return ended + shift.reshape((1,) * (codes.ndim - 1) + (-1,))

    def __call__(
        self, captions: Int[Array, "b s"], codes: Integer[Array, "b c l"], *, train: bool = False
    ) -> Float[Array, "b c t v"]:
        """Logits of every token of each candidate's code given those before it."""
        b, c, _ = codes.shape
        mask = captions != PAD
        memory = self.t5.encode(captions, mask, train=train)
        memory, mask = jnp.repeat(memory, c, axis=0), jnp.repeat(mask, c, axis=0)
        targets = self.targets(codes).reshape(b * c, -1)
        logits = self.t5.decode(targets, memory, mask, train=train)
        return logits.reshape(b, c, *logits.shape[1:])

    def log_probabilities(
        self, logits: Float[Array, "*b t v"], codes: Integer[Array, "*b l"], temperature: float
    ) -> Float[Array, "*b t"]:
        """Of a code's tokens and its end, by the logits over the temperature."""
        targets, parts = self.targets(codes), []
        for n, first in enumerate(self.first):
            x = logits[..., n, :] / temperature
            pool = x if self.config.softmax == "vocabulary" else x[..., first : self._stop(n)]
            own = jnp.take_along_axis(x, targets[..., n, None], -1)[..., 0]
            parts.append(own - jax.nn.logsumexp(pool, axis=-1))
        return jnp.stack(parts, -1)

    def _stop(self, level: int) -> int:
        return self.first[level] + (*self.sizes, 1)[level]

    def start(self, captions: Int[Array, "b s"]) -> tuple[Any, Any]:
        """Arrays that all steps of a search read, and the state of its one beam."""
        mask = captions != PAD
        memory = self.t5.encode(captions, mask)
        return self.t5.start(memory, mask, beams=1, length=len(self.first))

    def step(
        self, fixed: Any, cache: Any, last: Int[Array, "b w"] | None, level: int
    ) -> tuple[Float[Array, "b w _"], Any]:
        """Logits of the codes of `level` after the code `last`, as `beam_search` asks for them.

        With probabilities over the whole vocabulary the other tokens' logits follow behind.
        """
        if last is None:
            tokens = jnp.full(jax.tree.leaves(cache)[0].shape[:2], PAD, jnp.int32)
        else:
            tokens = last + self.first[level - 1]
        logits, cache = self.t5.step(cache, fixed, tokens, level)
        first = self.first[level]
        if self.config.softmax == "level":
            return logits[..., first : self._stop(level)], cache
        return jnp.roll(logits, -first, axis=-1), cache


def with_codebooks(
    model: AVG, params: Params, codebooks: Sequence[Float[Array, "_ z"]]
) -> dict[str, Any]:
    """Parameters whose embeddings of vokens are the rows of the tokenizer's codebooks.

    Raises:
        ValueError: as `check_codebooks` does.
    """
    check_codebooks(model, codebooks)
    table = params["t5"]["embedding"]["embedding"]
    for first, book in zip(model.first, codebooks, strict=False):
        table = table.at[first : first + len(book)].set(book.astype(table.dtype))
    t5 = {**params["t5"], "embedding": {"embedding": table}}
    return {**params, "t5": t5}


def check_codebooks(model: AVG, codebooks: Sequence[Float[Array, "_ z"]]) -> None:
    """Whether codes can start the embeddings of vokens.

    Raises:
        ValueError: they are not as wide as the model, or not as many as it has.
    """
    if [len(book) for book in codebooks] != list(model.sizes):
        raise ValueError(
            f"AVG: codebooks of {[len(b) for b in codebooks]} rows for sizes {model.sizes}"
        )
    if any(book.shape[1] != model.config.width for book in codebooks):
        raise ValueError(
            f"AVG: codes of width {codebooks[0].shape[1]} cannot start embeddings of width "
            f"{model.config.width}; train the tokenizer with latent = {model.config.width}"
        )
