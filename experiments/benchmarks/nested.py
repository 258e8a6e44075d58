"""What both sides of `decode` use, so without JAX: tries as dictionaries in dictionaries."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Nested = dict[int, Any]
"""Token -> the trie below it; None below the last token."""


def nested(codes: np.ndarray) -> Nested:
    """The trie of codes [n, l]."""
    root: Nested = {}
    for *prefix, last in codes.tolist():
        node = root
        for token in prefix:
            node = node.setdefault(token, {})
        node[last] = None
    return root


def allowed(trie: Nested, prefix: Sequence[int]) -> list[int]:
    """Tokens that may follow a prefix."""
    node = trie
    for token in prefix:
        node = node[token]
    return list(node)


def log_probabilities(shape: Sequence[int], size: int) -> np.ndarray:
    """Fixed random numbers for the beams of a step, [*shape, size]."""
    return np.random.default_rng(1).normal(size=(*shape, size)).astype(np.float32)
