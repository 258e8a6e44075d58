"""Batches and negatives, drawn inside a jitted step.

Axes: e pairs, b rows, k negatives, s steps of an epoch.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Int, Integer, Key

from mmjax.blocks.common.pairs import check_pairs, sorted_pairs
from mmjax.blocks.common.segmented_search import count_at_most

_MOST_PACKED_BITS = 21


def permutation(key: Key[Array, ""], n: int) -> Int[Array, "n"]:
    """A random order of [0, n), int32; about twice as fast on CPU as `jax.random.permutation`.

    Random bits and place are packed into one integer, whose sort is stable and carries nothing.
    Rounds add up to 3 log2(n) random bits an entry, the same as in JAX: with probability
    1 - 1/n or more no two entries share them, and then every order is equally likely.
    """
    bits = max(1, (n - 1).bit_length())
    if bits > _MOST_PACKED_BITS:
        return jax.random.permutation(key, n)
    place = jnp.arange(n, dtype=jnp.uint32)
    order = place
    for k in jax.random.split(key, -(-3 * bits // (32 - bits))):
        packed = jnp.sort(jax.random.bits(k, (n,), jnp.uint32) << bits | place)
        order = order[packed & ((1 << bits) - 1)]
    return order.astype(jnp.int32)


def epoch_batches(
    key: Key[Array, ""], n: int, batch_size: int
) -> tuple[Int[Array, "s b"], Bool[Array, "s b"]]:
    """One epoch over n examples in random order: row indices of each step, and which are real.

    Every index in [0, n) is real exactly once. The last batch is filled up from the beginning of
    the same permutation, where the mask is False. The same key gives the same epoch.

    Raises:
        ValueError: `n` or `batch_size` is below 1.
    """
    if n < 1 or batch_size < 1:
        raise ValueError(
            f"epoch_batches: n = {n}, batch_size = {batch_size}; both must be 1 or more"
        )
    shape = (-(-n // batch_size), batch_size)
    order = permutation(key, n)
    return jnp.resize(order, shape), jnp.arange(shape[0] * shape[1]).reshape(shape) < n


def bucket_by_length(
    key: Key[Array, ""], lengths: Integer[Array, "n"], batch_size: int
) -> tuple[Int[Array, "s b"], Bool[Array, "s b"]]:
    """As `epoch_batches`, with examples of like length in each batch; the batches in random order.

    Examples are shuffled, then sorted by length, so that those of a batch differ from epoch to
    epoch wherever more than a batch has one length.

    Raises:
        ValueError: there are no examples, or `batch_size` is below 1.
    """
    k_rows, k_batches = jax.random.split(key)
    rows, real = epoch_batches(k_rows, len(lengths), batch_size)
    order = rows.reshape(-1)[: len(lengths)]
    order = jnp.resize(order[jnp.argsort(lengths[order], stable=True)], rows.shape)
    batches = permutation(k_batches, len(rows))
    return order[batches], real[batches]


def uniform_negatives(
    key: Key[Array, ""], shape: tuple[int, ...], n_items: int
) -> Int[Array, "..."]:
    """Item ids drawn uniformly from [0, n_items), positives included; int32 of `shape`."""
    return jax.random.randint(key, shape, 0, n_items, jnp.int32)


# Fields are Any because JAX rebuilds pytrees with placeholders that are no arrays.
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NegativeIndex:
    """Which items of a pool each user has not met, as a pytree; built by `negative_index`.

    A user's positives are stored as the number of unseen items of the pool before each of them.
    The r-th unseen item then stands ``count(gaps <= r)`` places after place r of the pool.

    Attributes:
        pool: int32[p] item ids of the pool, ascending; None is the pool of all items.
        gaps: int32[e] unseen items before each positive, by user, ascending for each.
        start: int32[u + 1] where each user's gaps begin.
        size: items in the pool.
        longest: most positives of one user.
    """

    pool: Any
    gaps: Any
    start: Any
    size: int = field(metadata={"static": True})
    longest: int = field(metadata={"static": True})


def negative_index(
    pairs: Integer[np.ndarray, "e 2"],
    n_users: int,
    n_items: int,
    pool: str = "all",
) -> NegativeIndex:
    """Prepare `unseen_negatives` from (user, item) positives; runs once, on the host.

    Args:
        pairs: the positives; repeated pairs count once.
        n_users: users; those without a positive may be drawn for too.
        n_items: items.
        pool: candidates are "all" items, or those that occur in `pairs` ("train", as MMRec does).

    Raises:
        ValueError: an id is out of range, the pool is empty, or a user's positives cover it.
    """
    pairs = check_pairs(pairs, n_users, n_items, "negative_index: pairs")
    if pool not in ("all", "train"):
        raise ValueError(f"negative_index: pool {pool!r}; choose 'all' or 'train'")
    rank, ids = pairs[:, 1], None
    if pool == "train":
        ids, rank = np.unique(pairs[:, 1], return_inverse=True)
    size = n_items if ids is None else len(ids)
    if size == 0:
        raise ValueError("negative_index: the pool is empty; it needs at least one item")
    user, rank = sorted_pairs(np.stack([pairs[:, 0], rank], 1), size).T
    start = np.searchsorted(user, np.arange(n_users + 1))
    count = np.diff(start)
    if (full := np.flatnonzero(count == size)).size:
        raise ValueError(
            f"negative_index: {full.size} users, the first of them user {full[0]}, have every item "
            f"of the pool ({size}) as a positive, so nothing is left to draw; leave these users "
            "out, widen the pool or use uniform_negatives"
        )
    gaps = rank - (np.arange(len(user)) - start[user])
    return NegativeIndex(
        pool=None if ids is None else jnp.asarray(ids, jnp.int32),
        # One entry at least, so that a search always has something to read.
        gaps=jnp.asarray(gaps if len(gaps) else np.zeros(1), jnp.int32),
        start=jnp.asarray(start, jnp.int32),
        size=size,
        longest=int(count.max(initial=0)),
    )


def unseen_count(index: NegativeIndex, users: Int[Array, "*b"]) -> Int[Array, "*b"]:
    """How many items of the pool each user has not met: 1 or more."""
    return index.size - (index.start[users + 1] - index.start[users])


def nth_unseen(
    index: NegativeIndex, users: Int[Array, "*b"], rank: Int[Array, "*b"]
) -> Int[Array, "*b"]:
    """The item at `rank`, in [0, unseen_count), among those of the pool a user has not met.

    A bijection from ranks to unseen items, ascending.
    """
    start, stop = index.start[users], index.start[users + 1]
    place = rank + count_at_most(index.gaps, start, stop, rank, longest=index.longest)
    return place if index.pool is None else index.pool[place]


def unseen_negatives(
    key: Key[Array, ""], users: Int[Array, "b"], index: NegativeIndex, n: int
) -> Int[Array, "b k"]:
    """Draw n items per row, exactly uniform over the pool minus the row's user's positives.

    With replacement, without rejection: a uniform rank is mapped to the item at that rank among
    the unseen ones. `users` must lie in the index's range.
    """
    users = jnp.broadcast_to(users[:, None], (users.shape[0], n))
    rank = jax.random.randint(key, users.shape, 0, unseen_count(index, users), jnp.int32)
    return nth_unseen(index, users, rank)


def distinct_unseen(
    key: Key[Array, ""], users: Int[Array, "b"], index: NegativeIndex, n: int
) -> Int[Array, "b k"]:
    """Draw n different items per row: every set of n unseen items of the pool is equally likely.

    By Floyd's algorithm on ranks (J. Bentley and B. Floyd, CACM 1987), n steps without rejection;
    the order within a row is not uniform. Each user must have n unseen items or more
    (`unseen_count`), otherwise items repeat or are ones the user has.
    """
    count = unseen_count(index, users)
    columns: list[Array] = []
    for j, k in enumerate(jax.random.split(key, n)):
        last = count - n + j
        rank = jax.random.randint(k, users.shape, 0, last + 1, jnp.int32)
        # The last rank is new to this step, so that it cannot have been taken before.
        for taken in columns:
            rank = jnp.where(taken == rank, -1, rank)
        columns.append(jnp.where(rank < 0, last, rank))
    ranks = jnp.stack(columns, 1) if columns else jnp.zeros((users.shape[0], 0), jnp.int32)
    return nth_unseen(index, jnp.broadcast_to(users[:, None], ranks.shape), ranks)
