"""Batches drawn on the device, as pure functions of a key.

Axes: e pairs, b rows, k negatives, s steps of an epoch.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Int, Integer, Key

from mmjax.blocks.sequences.sampling import (
    NegativeIndex,
    distinct_unseen,
    epoch_batches,
    uniform_negatives,
    unseen_count,
    unseen_negatives,
)
from mmjax.objective import Batch

EpochPlan = Any
"""The draws of an epoch that all its batches share, such as a permutation of the examples."""


def nothing_shared(plan: EpochPlan) -> dict[str, Array]:
    """No entries beside the rows."""
    return {}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BatchSource:
    """Training data that lives on the device; a pytree, so a step takes it as an argument.

    Batch number i of epoch n is a function of the run's key, n and i alone. Resuming needs no
    other record of a position, and the rows do not depend on the devices they are split over.
    """

    epoch: Partial
    """``epoch(key) -> plan``, called once an epoch."""
    batch: Partial
    """``batch(plan, i, key) -> dict`` of arrays whose leading axis is the rows of batch i.

    A bool entry ``where`` marks the rows that count; it is needed when the number of rows is not
    a multiple of the number of devices, for then rows with ``where = False`` are added."""
    steps_per_epoch: int = field(metadata={"static": True})
    shared: Partial = field(default_factory=lambda: Partial(nothing_shared))
    """``shared(plan) -> dict`` of entries that join every batch whole instead of being split by
    rows, such as edge weights drawn once an epoch."""


def with_draws(source: BatchSource, draw: Partial | None) -> BatchSource:
    """`source` with the entries that ``draw(key)`` makes once an epoch in every batch."""
    if draw is None:
        return source
    return replace(
        source,
        epoch=Partial(_epoch_and_draws, source.epoch, draw),
        batch=Partial(_batch_of_first, source.batch),
        shared=Partial(_shared_and_draws, source.shared),
    )


def _epoch_and_draws(epoch: Partial, draw: Partial, key: Key[Array, ""]) -> EpochPlan:
    # The first key is the one of a source without draws, whose batches therefore stay the same.
    return epoch(key), draw(jax.random.fold_in(key, 1))


def _batch_of_first(batch: Partial, plan: EpochPlan, i: Array | int, key: Key[Array, ""]) -> Batch:
    return batch(plan[0], i, key)


def _shared_and_draws(shared: Partial, plan: EpochPlan) -> dict[str, Array]:
    return {**shared(plan[0]), **plan[1]}


def pairs_source(
    pairs: Integer[np.ndarray, "e 2"],
    n_items: int,
    batch_size: int,
    *,
    n_negatives: int = 1,
    unseen: NegativeIndex | None = None,
) -> BatchSource:
    """Shuffled (user, item) pairs with negatives drawn on the device.

    Every batch has int32 `user` and `item` ``[b]``, int32 `negatives` ``[b, k]`` and bool `where`
    ``[b]``; the last batch of an epoch is filled up with rows whose `where` is False.

    Args:
        pairs: user and item ids, in range (`mmjax.data` validates them).
        n_items: items to draw negatives from, uniformly.
        batch_size: rows of a batch; at most e are used.
        n_negatives: negatives of a row, 0 for none.
        unseen: draws from this index's pool minus the positives of the row's user instead.

    Raises:
        ValueError: there are no pairs, or a size is out of range.
    """
    pairs = np.asarray(pairs)
    if len(pairs) == 0 or batch_size < 1 or n_negatives < 0:
        raise ValueError(
            f"pairs_source: {len(pairs)} pairs, batch_size {batch_size}, n_negatives "
            f"{n_negatives}; give at least one pair, batch_size >= 1 and n_negatives >= 0"
        )
    batch_size = min(batch_size, len(pairs))
    negatives = Partial(_unseen, unseen) if unseen is not None else Partial(_Uniform(n_items))
    return BatchSource(
        epoch=Partial(Shuffle(len(pairs), batch_size)),
        batch=Partial(_Rows(n_negatives), jnp.asarray(pairs, jnp.int32), negatives),
        steps_per_epoch=-(-len(pairs) // batch_size),
    )


@dataclass(frozen=True)
class Shuffle:
    """The plan of an epoch that visits n rows in random order, as `sampling.epoch_batches`."""

    n: int
    batch_size: int

    def __call__(self, key: Key[Array, ""]) -> tuple[Array, Array]:
        return epoch_batches(key, self.n, self.batch_size)


@dataclass(frozen=True)
class _Uniform:
    n_items: int

    def __call__(self, key: Key[Array, ""], users: Int[Array, "b"], n: int) -> Array:
        return uniform_negatives(key, (users.shape[0], n), self.n_items)


def _unseen(index: NegativeIndex, key: Key[Array, ""], users: Int[Array, "b"], n: int) -> Array:
    return unseen_negatives(key, users, index, n)


@dataclass(frozen=True)
class _Rows:
    n_negatives: int

    def __call__(
        self, pairs: Array, negatives: Partial, plan: EpochPlan, i: Array | int, key: Key[Array, ""]
    ) -> Batch:
        index, where = plan
        user, item = pairs[index[i]].T
        drawn = negatives(key, user, self.n_negatives)
        return {"user": user, "item": item, "negatives": drawn, "where": where[i]}


def rows_source(n: int, batch_size: int) -> BatchSource:
    """The rows of a table in random order, each once an epoch.

    Every batch has int32 `row` ``[b]`` in [0, n) and bool `where` ``[b]``; the last batch of an
    epoch is filled up with rows whose `where` is False.

    Args:
        n: rows of the table.
        batch_size: rows of a batch; at most n are used.

    Raises:
        ValueError: n or `batch_size` is below 1.
    """
    if n < 1 or batch_size < 1:
        raise ValueError(f"rows_source: {n} rows, batch_size {batch_size}; both must be 1 or more")
    batch_size = min(batch_size, n)
    return BatchSource(
        epoch=Partial(Shuffle(n, batch_size)),
        batch=Partial(_row_numbers),
        steps_per_epoch=-(-n // batch_size),
    )


def _row_numbers(plan: EpochPlan, i: Array | int, key: Key[Array, ""]) -> Batch:
    index, where = plan
    return {"row": index[i], "where": where[i]}


def triples_source(
    pairs: Integer[np.ndarray, "e 2"],
    batch_size: int,
    *,
    unseen: NegativeIndex,
    n_negatives: int = 5,
    seed: int = 0,
) -> BatchSource:
    """Triples whose negatives are drawn once, before training, and shuffled as rows of their own.

    An epoch has ``e * n_negatives`` rows (user, item, one negative); the negatives of a pair
    differ from each other. MetaMMF trains so (arXiv 2501.07110); `pairs_source` draws anew at
    every step instead. Batches are those of `pairs_source` with one negative. Beside the pairs,
    one int32 is kept a triple.

    Args:
        pairs: user and item ids, in range (`mmjax.data` validates them).
        batch_size: triples of a batch; at most all are used.
        unseen: negatives are uniform over its pool minus the positives of the row's user.
        n_negatives: triples k of a pair.
        seed: of the negatives; they are the same for all seeds of a run.

    Raises:
        ValueError: there are no pairs, a size is below 1, or a user has fewer than `n_negatives`
            unseen items.
    """
    pairs = np.asarray(pairs)
    if len(pairs) == 0 or batch_size < 1 or n_negatives < 1:
        raise ValueError(
            f"triples_source: {len(pairs)} pairs, batch_size {batch_size}, n_negatives "
            f"{n_negatives}; give at least one of each"
        )
    rows = jnp.asarray(pairs, jnp.int32)
    left = np.asarray(unseen_count(unseen, rows[:, 0]))
    if left.min() < n_negatives:
        raise ValueError(
            f"triples_source: user {pairs[left.argmin(), 0]} has {left.min()} unseen items, fewer "
            f"than n_negatives {n_negatives}; ask for fewer or widen the pool"
        )
    draw = jax.jit(distinct_unseen, static_argnums=3)
    negatives = draw(jax.random.key(seed), rows[:, 0], unseen, n_negatives)
    n = len(pairs) * n_negatives
    batch_size = min(batch_size, n)
    return BatchSource(
        epoch=Partial(Shuffle(n, batch_size)),
        batch=Partial(_triples, rows, negatives),
        steps_per_epoch=-(-n // batch_size),
    )


def _triples(
    pairs: Array, negatives: Array, plan: EpochPlan, i: Array | int, key: Key[Array, ""]
) -> Batch:
    index, where = plan
    pair, column = jnp.divmod(index[i], negatives.shape[1])
    user, item = pairs[pair].T
    drawn = negatives[pair, column][:, None]
    return {"user": user, "item": item, "negatives": drawn, "where": where[i]}
