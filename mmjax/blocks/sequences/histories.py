"""What users have met, as sets of which a part is shown and a part is held back.

Axes: e pairs, u users, b rows, k targets, s shown items.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int, Integer, Key

from mmjax.blocks.common.pairs import check_pairs, sorted_pairs


class Histories(NamedTuple):
    """Items by user; made by `histories`."""

    items: Int[Array, "e"]
    """The items of user 0, then those of user 1, ..."""
    start: Int[Array, "u1"]
    """Where each user's items begin; length u + 1."""


def histories(pairs: Integer[np.ndarray, "e 2"], n_users: int, n_items: int) -> Histories:
    """The items of each user, ascending, from (user, item) pairs; on the host, once.

    Repeated pairs count once.

    Raises:
        ValueError: an id is out of range.
    """
    pairs = sorted_pairs(check_pairs(pairs, n_users, n_items, "histories: pairs"), n_items)
    start = np.searchsorted(pairs[:, 0], np.arange(n_users + 1))
    return Histories(jnp.asarray(pairs[:, 1], jnp.int32), jnp.asarray(start, jnp.int32))


def shuffled(key: Key[Array, ""], known: Histories) -> Histories:
    """The same items of each user in a random order."""
    n = known.items.shape[0]
    user = jnp.searchsorted(known.start, jnp.arange(n), side="right")
    bits = jax.random.bits(key, (n,), jnp.uint32)
    return Histories(lax.sort((user, bits, known.items), num_keys=2)[2], known.start)


def counts(known: Histories, users: Int[Array, "b"]) -> Int[Array, "b"]:
    """How many items each of `users` has."""
    return known.start[users + 1] - known.start[users]


def some_items(
    known: Histories,
    users: Int[Array, "b"],
    first: Int[Array, "b"],
    count: Int[Array, "b"],
    *,
    length: int,
) -> Int[Array, "b s"]:
    """`count` items of each user from place `first` on, around the end; then -1.

    On `shuffled` histories that is a draw without replacement, and the places before `first` are
    one that shares no item with it. At most `length` items are given, and each at most once.
    """
    held = counts(known, users)[:, None]
    place = jnp.arange(length, dtype=jnp.int32)[None]
    there = place < jnp.minimum(count[:, None], held)
    index = known.start[users][:, None] + (first[:, None] + place) % jnp.maximum(held, 1)
    return jnp.where(there, known.items.at[index].get(mode="clip"), -1)
