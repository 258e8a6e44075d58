"""Batches that hold as many training pairs of each group as of any other.

Axes: e pairs, g groups, b rows of one group, k negatives.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Int, Key

from mmjax.blocks.sequences.sampling import NegativeIndex, permutation, unseen_negatives
from mmjax.objective import Batch
from mmjax.training.sources.pairs import BatchSource


def grouped_source(
    pairs: Int[np.ndarray, "e 2"],
    group: Int[np.ndarray, "e"],
    n_groups: int,
    batch_size: int,
    unseen: NegativeIndex,
    *,
    negatives: int,
    again: bool,
) -> BatchSource:
    """Shuffled pairs, `batch_size` rows of every group in a batch, with the group's number.

    A batch has the entries of `mmjax.training.sources.pairs_source`, each ``[g b]``, and int32
    `environment`. An epoch ends with the largest group.

    Args:
        pairs: users and items.
        group: number of each pair's group, in [0, n_groups); a group may be empty.
        n_groups: groups.
        batch_size: rows of one group.
        unseen: what negatives are drawn from.
        negatives: negatives of a row.
        again: a group that ends before the epoch does starts again; False leaves its rows out.
    """
    counts = np.bincount(group, minlength=n_groups)
    batch_size = min(batch_size, int(counts.max()))
    starts = np.cumsum(counts) - counts
    arrays = (pairs, group, starts, counts)
    return BatchSource(
        epoch=Partial(_shuffle, jnp.asarray(group, jnp.int32)),
        batch=Partial(
            _Rows(batch_size, negatives, again),
            *(jnp.asarray(a, jnp.int32) for a in arrays),
            unseen,
        ),
        steps_per_epoch=-(-int(counts.max()) // batch_size),
    )


def _shuffle(group: Array, key: Key[Array, ""]) -> Array:
    order = permutation(key, group.shape[0])
    return order[jnp.argsort(group[order], stable=True)]


@dataclass(frozen=True)
class _Rows:
    batch_size: int
    negatives: int
    again: bool

    def __call__(
        self,
        pairs: Array,
        group: Array,
        starts: Array,
        counts: Array,
        unseen: NegativeIndex,
        order: Array,
        i: Array | int,
        key: Key[Array, ""],
    ) -> Batch:
        place = i * self.batch_size + jnp.arange(self.batch_size)[None]
        counts = counts[:, None]
        # A group smaller than a batch is in it once, also if it starts again.
        last = jnp.arange(self.batch_size)[None] if self.again else place
        where = (last < counts).ravel()
        row = order[(starts[:, None] + place % jnp.maximum(counts, 1)).ravel() % pairs.shape[0]]
        user, item = pairs[row].T
        drawn = unseen_negatives(key, user, unseen, self.negatives)
        environment = jnp.repeat(jnp.arange(counts.shape[0]), self.batch_size)
        return {
            "user": user,
            "item": item,
            "negatives": drawn,
            "where": where,
            "environment": environment,
        }
