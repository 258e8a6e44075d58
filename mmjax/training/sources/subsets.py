"""Batches that pair some items of a user with a draw of the user's other items.

Axes: e pairs, u users, r rows of an epoch, b rows of a batch, k targets of a row, s shown items.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Integer, Key

from mmjax.blocks.sequences.histories import Histories, counts, histories, shuffled, some_items
from mmjax.blocks.sequences.sampling import epoch_batches
from mmjax.objective import Batch
from mmjax.training.sources.pairs import BatchSource, EpochPlan


def subset_source(
    pairs: Integer[np.ndarray, "e 2"],
    n_users: int,
    n_items: int,
    batch_size: int,
    *,
    length: int = 32,
    targets: int = 1,
    exclude_targets: bool = True,
    redraw: bool = True,
) -> BatchSource:
    """Every pair once an epoch as a target, beside a draw of items of the same user.

    Every batch has int32 `user` ``[b]``, `items` ``[b, k]``, the targets, and `history``
    ``[b, s]``, what is shown, both filled up with -1, and bool `where` ``[b]``; the last batch of
    an epoch is filled up with rows whose `where` is False.

    Args:
        pairs: user and item ids; repeated pairs count once.
        n_users, n_items: ids run over ``0..n-1``.
        batch_size: rows of a batch; at most all rows of an epoch are used.
        length: most items that are shown, drawn without replacement.
        targets: most targets that share what is shown, and so the work on it; they are at most a
            quarter of the user's items, and at least one.
        exclude_targets: show none of the row's targets. A user with a single item is shown
            nothing then. False shows all rows of a user the same draw out of all items.
        redraw: draw anew in every epoch; False draws once, the same for all seeds of a run.

    Raises:
        ValueError: there are no pairs, a size is below 1, or an id is out of range.
    """
    if len(pairs) == 0 or min(batch_size, length, targets) < 1:
        raise ValueError(
            f"subset_source: {len(pairs)} pairs, batch_size {batch_size}, length {length}, "
            f"targets {targets}; give at least one of each"
        )
    known = histories(pairs, n_users, n_items)
    held = np.diff(known.start)
    share = np.clip(held // 4, 1, targets)
    rows = -(-held // share)
    user = np.repeat(np.arange(n_users), rows)
    first = share[user] * (np.arange(len(user)) - np.repeat(np.cumsum(rows) - rows, rows))
    count = np.minimum(share[user], held[user] - first)
    batch_size = min(batch_size, len(user))
    table = jnp.asarray(np.stack([user, first, count], 1), jnp.int32)
    return BatchSource(
        epoch=Partial(_Draw(len(user), batch_size, redraw), known),
        batch=Partial(_Rows(length, targets, exclude_targets), table),
        steps_per_epoch=-(-len(user) // batch_size),
    )


@dataclass(frozen=True)
class _Draw:
    n: int
    batch_size: int
    redraw: bool

    def __call__(self, known: Histories, key: Key[Array, ""]) -> EpochPlan:
        k_rows, k_items = jax.random.split(key)
        order = shuffled(k_items if self.redraw else jax.random.key(0), known)
        return order, *epoch_batches(k_rows, self.n, self.batch_size)


@dataclass(frozen=True)
class _Rows:
    length: int
    targets: int
    exclude_targets: bool

    def __call__(self, table: Array, plan: EpochPlan, i: Array | int, key: Key[Array, ""]) -> Batch:
        known, index, where = plan
        user, first, count = table[index[i]].T
        held = counts(known, user)
        behind = (first + count, held - count) if self.exclude_targets else (0 * first, held)
        return {
            "user": user,
            "items": some_items(known, user, first, count, length=self.targets),
            "history": some_items(known, user, *behind, length=self.length),
            "where": where[i],
        }
