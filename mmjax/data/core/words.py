"""Texts as numbers of their words, for models that learn their words from one data set.

Axes: t texts, s tokens of a text.
"""

import collections
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int32

PAD, END, UNKNOWN = 0, 1, 2
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


def words_of(text: str) -> list[str]:
    """Lower-case words and numbers, without punctuation."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Words:
    """A vocabulary: 0 pads, 1 ends a text, 2 stands for all other words, then `known`."""

    known: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str], *, min_count: int = 1) -> "Words":
        """Words that occur `min_count` times or more, the commonest first, equal ones by letter."""
        counts = collections.Counter(word for text in texts for word in words_of(text))
        kept = sorted((-n, word) for word, n in counts.items() if n >= min_count)
        return cls(tuple(word for _, word in kept))

    @cached_property
    def _place(self) -> dict[str, int]:
        return {word: n for n, word in enumerate(self.known, UNKNOWN + 1)}

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.known) + UNKNOWN + 1

    def encode(self, texts: Sequence[str], length: int) -> Int32[np.ndarray, "t s"]:
        """Tokens of texts, cut so that the end fits into `length`, and padded."""
        ids = np.full((len(texts), length), PAD, np.int32)
        for row, text in enumerate(texts):
            tokens = [self._place.get(word, UNKNOWN) for word in words_of(text)][: length - 1]
            ids[row, : len(tokens) + 1] = [*tokens, END]
        return ids
