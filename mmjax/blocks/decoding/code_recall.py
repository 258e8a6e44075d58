"""Recall of searches over codes that several items may share.

Axes: b queries, w beams.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from mmjax.blocks.decoding.tries import Trie


class Place(NamedTuple):
    """Where a search put the item that was meant."""

    found: Bool[Array, "b"]
    """A beam has its code."""
    beam: Int[Array, "b"]
    """Which one; 0 if none."""
    before: Int[Array, "b"]
    """Items of the beams before that one: the ranks that they fill."""
    mates: Int[Array, "b"]
    """Items of that code, this one included; 1 if none was found."""


def place_of(trie: Trie, leaves: Int[Array, "b w"], gold: Int[Array, "b"]) -> Place:
    """Where `beam_search` put the items `gold`.

    Args:
        trie: the one that was searched; each item has one code in it.
        leaves: of the beams, best first; -1 where dead.
        gold: the item meant by each query; one that the trie lacks is never found.
    """
    there = (gold >= 0) & (gold < trie.n_items)
    item = jnp.where(there, gold, 0)
    first, stop = trie.item_ptr[item], trie.item_ptr[item + 1]
    there &= stop > first
    slot = trie.item_slots.at[first].get(mode="clip")
    own = jnp.searchsorted(trie.leaf_ptr, slot, side="right").astype(jnp.int32) - 1
    hit = (leaves == own[:, None]) & there[:, None]
    found, beam = hit.any(1), hit.argmax(1).astype(jnp.int32)
    live = jnp.maximum(leaves, 0)
    sizes = jnp.where(leaves >= 0, trie.leaf_ptr[live + 1] - trie.leaf_ptr[live], 0)
    before = jnp.cumsum(sizes, axis=1) - sizes
    at = jnp.take_along_axis(before, beam[:, None], 1)[:, 0]
    mates = jnp.take_along_axis(sizes, beam[:, None], 1)[:, 0]
    return Place(found, beam, at, jnp.where(found, mates, 1))


def recall_code(place: Place, k: int) -> Float[Array, "b"]:
    """1 where one of the first k codes is that of the item: all its mates share the hit."""
    return (place.found & (place.beam < k)).astype(jnp.float32)


def recall_item(place: Place, k: int, *, order: Int[Array, "b"] | None = None) -> Float[Array, "b"]:
    """1 where the item itself is among the first k; never above `recall_code`.

    A beam of n items fills n ranks. Within them the item's rank is `order`, or uniform, where the
    expected recall is ``clip((k - before) / n, 0, 1)``.

    Args:
        place: from `place_of`.
        k: ranks that count.
        order: mates that a second stage, such as CLIP, puts before the item; in [0, mates).
    """
    left = k - place.before
    if order is None:
        credit = jnp.clip(left / place.mates, 0.0, 1.0)
    else:
        credit = (order < left).astype(jnp.float32)
    return jnp.where(place.found, credit, 0.0)
