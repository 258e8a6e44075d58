"""Tries as dictionaries in dictionaries, and fixed numbers: inputs of both sides of `decode`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

NestedTrie = dict[int, Any]
"""Token -> the trie below it; None below the last token."""


def nested_trie(codes: np.ndarray) -> NestedTrie:
    """The trie of codes [n, l]."""
    root: NestedTrie = {}
    for *prefix, last in codes.tolist():
        node = root
        for token in prefix:
            node = node.setdefault(token, {})
        node[last] = None
    return root


def allowed_tokens(trie: NestedTrie, prefix: Sequence[int]) -> list[int]:
    """Tokens that may follow a prefix."""
    node = trie
    for token in prefix:
        node = node[token]
    return list(node)


def log_probabilities(shape: Sequence[int], size: int) -> np.ndarray:
    """Fixed random numbers for the beams of a step, [*shape, size]."""
    return np.random.default_rng(1).normal(size=(*shape, size)).astype(np.float32)
