"""Batches of texts of similar length, padded.

Axes: b texts of a batch, s positions.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

# Rows are padded to one of these lengths, so that few programs are compiled and no row is more
# than about half padding.
_LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192)


class TokenBatch(NamedTuple):
    """Texts of similar length."""

    texts: Int[np.ndarray, "_"]
    """Their places among all texts; fewer than rows where the rest is padding."""
    ids: Int[np.ndarray, "b s"]
    mask: Bool[np.ndarray, "b s"]


def token_batches(
    tokens: Sequence[Sequence[int]], size: int, pad_id: int, max_length: int
) -> Iterator[TokenBatch]:
    """Rows of similar length, the longest first, of few different shapes.

    All batches have `size` rows but the last, whose rows are a power of two; the number of
    positions is one of about a dozen.
    """
    order = sorted(range(len(tokens)), key=lambda n: -len(tokens[n]))
    for first in range(0, len(order), size):
        chosen = order[first : first + size]
        rows = min(size, 1 << (len(chosen) - 1).bit_length())
        longest = len(tokens[chosen[0]])
        length = min(next((n for n in _LENGTHS if n >= longest), longest), max_length)
        ids = np.full((rows, length), pad_id, np.int32)
        mask = np.zeros((rows, length), bool)
        for row, n in enumerate(chosen):
            ids[row, : len(tokens[n])] = tokens[n]
            mask[row, : len(tokens[n])] = True
        yield TokenBatch(np.array(chosen), ids, mask)
