"""Tries as dictionaries in dictionaries, the peer of `decode`; needs neither JAX nor mmjax."""

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
