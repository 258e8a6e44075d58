"""Recall of both ways to search, under one protocol: a caption, the pool of its split, its image.

Axes: a asked captions, n images, p width, f images of the pool.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.blocks.decoding.code_recall import place_of, recall_code, recall_item
from mmjax.blocks.decoding.tries import Trie
from mmjax.models.retrieval import avg


def vector_recall(
    texts: np.ndarray | jax.Array,
    images: np.ndarray | jax.Array,
    gold: np.ndarray,
    pool: np.ndarray,
    ks: Sequence[int],
) -> dict[str, float]:
    """Recall of an exhaustive ranking of the pool by inner products; ties count against it.

    Args:
        texts: vectors of the captions ``[a p]``.
        images: vectors of all images ``[n p]``.
        gold: image that each caption means ``[a]``.
        pool: images that are ranked ``[f]``.
        ks: cut-offs.
    """
    scores = np.asarray(texts, np.float32) @ np.asarray(images, np.float32)[pool].T
    place = np.searchsorted(pool, gold)
    own = scores[np.arange(len(gold)), place]
    rank = (scores >= own[:, None]).sum(1) - 1
    return {f"recall@{k}": float((rank < k).mean()) for k in ks}


def code_recall(
    found: avg.Found, trie: Trie, gold: np.ndarray, ks: Sequence[int]
) -> dict[str, float]:
    """``recall@k`` of items, expected where they share a code, and ``recall_code@k``."""
    place = place_of(trie, found.beams.leaves, jnp.asarray(gold, jnp.int32))
    numbers = {}
    for k in ks:
        numbers[f"recall@{k}"] = float(recall_item(place, k).mean())
        numbers[f"recall_code@{k}"] = float(recall_code(place, k).mean())
    return numbers


def collision_rate(codes: np.ndarray, pool: np.ndarray) -> float:
    """Share of the pool whose code another image of it has already."""
    return 1 - len(np.unique(codes[pool], axis=0)) / len(pool)
