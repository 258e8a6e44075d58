"""Batches of sequences, drawn on the device from a flat array of items.

Axes: e items, n windows, b rows, t positions, k negatives.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Integer, Key

from mmjax.blocks.sequences.packing import Packed, packed, tokens
from mmjax.blocks.sequences.sampling import NegativeIndex, bucket_by_length, unseen_negatives
from mmjax.data.core.sequences import Windows
from mmjax.objective import Batch
from mmjax.training.sources.pairs import BatchSource, EpochPlan, Shuffle


def windows_source(
    items: Integer[np.ndarray, "e"],
    windows: Windows,
    length: int,
    batch_size: int,
    *,
    bucket_by_length: bool = False,
) -> BatchSource:
    """One row per window: a history and the item that follows it, for models of one target.

    Every batch has int32 `user` and `item` ``[b]``, the target, int32 `history` ``[b, t]``, oldest
    first, its latest item at the end of the row and -1 before its first, and bool `where` ``[b]``;
    the last batch of an epoch is filled up with rows whose `where` is False. With
    `Sequences.prefixes` that is training on all beginnings of all sequences.

    Args:
        items: of all sequences.
        windows: places in `items`, such as `Sequences.prefixes()`.
        length: positions t; of a longer history the latest are kept.
        batch_size: rows of a batch; at most n are used.
        bucket_by_length: the histories of a batch are of like length, for models that then leave
            out padding.

    Raises:
        ValueError: there are no windows, or a size is below 1.
    """
    _check("windows_source", windows, length, batch_size)
    n = len(windows.stop)
    batch_size = min(batch_size, n)
    start = np.maximum(windows.start, windows.stop - length)
    table = np.stack([windows.user, start, windows.stop], 1)
    if bucket_by_length:
        epoch = Partial(_BucketByLength(batch_size), jnp.asarray(windows.stop - start, jnp.int32))
    else:
        epoch = Partial(Shuffle(n, batch_size))
    return BatchSource(
        epoch=epoch,
        batch=Partial(
            _Histories(length), jnp.asarray(items, jnp.int32), jnp.asarray(table, jnp.int32)
        ),
        steps_per_epoch=-(-n // batch_size),
    )


def packed_source(
    items: Integer[np.ndarray, "e"],
    windows: Windows,
    length: int,
    batch_size: int,
    *,
    n_negatives: int = 0,
    unseen: NegativeIndex | None = None,
) -> BatchSource:
    """Several windows a row, for models that predict at every position (`packing`).

    Every batch has int32 `item`, `following`, `window` and `age` ``[b, t]``, as
    `blocks.sequences.packing.Tokens` says, and bool `where` ``[b]``; the last batch of an epoch is
    filled up with rows whose `where` is False. Which windows share a row is fixed once; rows are
    shuffled in every epoch.

    Args:
        items: of all sequences.
        windows: places in `items`, such as `Sequences.windows("train")`.
        length: positions t of a row; of a longer window the latest items are kept.
        batch_size: windows of a batch on average; whole rows are taken, one at least.
        n_negatives: with `unseen`, int32 `negatives` ``[b, t, k]`` are drawn for every place,
            each uniform over the index's pool minus the positives of the window's user.
        unseen: the index; needed for negatives.

    Raises:
        ValueError: there are no windows, a size is below 1, or negatives have no index.
    """
    _check("packed_source", windows, length, batch_size)
    if n_negatives < 0 or (n_negatives and unseen is None):
        raise ValueError(
            f"packed_source: n_negatives {n_negatives}; give 0 or more, and an index for more"
        )
    rows = packed(items, windows.start, windows.stop, length)
    n = len(rows.window)
    batch_size = min(n, max(1, round(batch_size * n / len(windows.stop))))
    user = jnp.asarray(windows.user, jnp.int32)
    return BatchSource(
        epoch=Partial(Shuffle(n, batch_size)),
        batch=Partial(_Tokens(n_negatives), rows, user, unseen),
        steps_per_epoch=-(-n // batch_size),
    )


def _check(where: str, windows: Windows, length: int, batch_size: int) -> None:
    if len(windows.stop) == 0 or length < 1 or batch_size < 1:
        raise ValueError(
            f"{where}: {len(windows.stop)} windows, length {length}, batch_size {batch_size}; "
            "give at least one of each"
        )


@dataclass(frozen=True)
class _BucketByLength:
    batch_size: int

    def __call__(self, lengths: Array, key: Key[Array, ""]) -> EpochPlan:
        return bucket_by_length(key, lengths, self.batch_size)


@dataclass(frozen=True)
class _Histories:
    length: int

    def __call__(
        self, items: Array, table: Array, plan: EpochPlan, i: Array | int, key: Key[Array, ""]
    ) -> Batch:
        index, where = plan
        user, start, stop = table[index[i]].T
        place = (stop - self.length)[:, None] + jnp.arange(self.length)[None]
        known = place >= start[:, None]
        history = jnp.where(known, items.at[place].get(mode="clip"), -1)
        return {"user": user, "history": history, "item": items[stop], "where": where[i]}


@dataclass(frozen=True)
class _Tokens:
    n_negatives: int

    def __call__(
        self,
        rows: Packed,
        user: Array,
        unseen: NegativeIndex | None,
        plan: EpochPlan,
        i: Array | int,
        key: Key[Array, ""],
    ) -> Batch:
        index, where = plan
        batch = tokens(rows, index[i])._asdict() | {"where": where[i]}
        if unseen is None or not self.n_negatives:
            return batch
        owner = user[batch["window"]].reshape(-1)
        drawn = unseen_negatives(key, owner, unseen, self.n_negatives)
        shape = (*batch["window"].shape, self.n_negatives)
        return batch | {"negatives": drawn.reshape(shape)}
