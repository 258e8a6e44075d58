"""Rankings beyond accuracy: coverage, concentration, novelty, diversity, and metrics by group.

Axes: u users, k ranks, i items, d features, g groups.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Integer

from mmjax.blocks.common.projection import l2_normalise
from mmjax.evaluation.ranking import summarise

ACTIVITY = (5, 10, 20, 50)
"""Numbers of training interactions at which a new group of users begins."""


def exposure(ids: Int[Array, "u k"], n_items: int) -> Int[Array, "i"]:
    """Times that each item is recommended; -1 in a ranking is no item."""
    return jnp.zeros(n_items + 1, jnp.int32).at[jnp.where(ids < 0, n_items, ids)].add(1)[:-1]


def coverage(ids: Int[Array, "u k"], n_items: int) -> Float[Array, ""]:
    """Share of the catalogue that anybody is recommended, in [0, 1]."""
    return (exposure(ids, n_items) > 0).mean()


def gini(ids: Int[Array, "u k"], n_items: int) -> Float[Array, ""]:
    """Gini index of the exposure over all items: 0 where all are shown alike, near 1 where one is.

    ``sum_j (2 j - n - 1) x_j / (n sum_j x_j)`` of the ascending exposures x_1 <= ... <= x_n.
    """
    x = jnp.sort(exposure(ids, n_items)).astype(jnp.float32)
    rank = 2.0 * jnp.arange(1, n_items + 1) - n_items - 1
    return (rank * x).sum() / (n_items * jnp.maximum(x.sum(), 1.0))


def novelty(ids: Int[Array, "u k"], popularity: Int[Array, "i"], n_users: int) -> Float[Array, "u"]:
    """Mean self-information ``-log2(popularity / n_users)`` of each user's items, in bits.

    An item without a training interaction counts as one with a single one (T. Zhou et al., PNAS
    2010). Users without a recommendation get 0.
    """
    bits = jnp.log2(n_users) - jnp.log2(jnp.maximum(popularity, 1).astype(jnp.float32))
    there = ids >= 0
    total = jnp.where(there, bits[jnp.maximum(ids, 0)], 0.0).sum(1)
    return total / jnp.maximum(there.sum(1), 1)


def intra_list_diversity(
    ids: Int[Array, "u k"], features: Float[Array, "i d"]
) -> Float[Array, "u"]:
    """Mean of one minus the cosine over the pairs of each user's items, in [0, 2].

    C.-N. Ziegler et al., WWW 2005, as a distance. Items without features have cosine 0 with all.
    Users with fewer than two items get 0.
    """
    unit = l2_normalise(features)
    there = ids >= 0
    x = jnp.where(there[..., None], unit[jnp.maximum(ids, 0)], 0.0)
    # The sum over pairs of distinct items, without the k x k cosines.
    total = jnp.square(x.sum(1)).sum(-1) - jnp.square(x).sum((1, 2))
    n = there.sum(1)
    pairs = n * (n - 1)
    return jnp.where(pairs > 0, 1 - total / jnp.maximum(pairs, 1), 0.0)


def auc(hits: Bool[Array, "u k"], there: Bool[Array, "u k"]) -> Float[Array, "u"]:
    """Share of the (relevant, other) pairs of candidates that a whole ranking orders rightly.

    Args:
        hits: whether the candidate at each rank is relevant; the ranking holds every candidate
            that is not left out (`ranking.rank` with ``k = n_items``).
        there: whether there is a candidate at the rank.

    Returns:
        A value in [0, 1] for each user; .5 where there are only relevant candidates, or none.
    """
    hits = hits & there
    others = jnp.cumsum(there & ~hits, axis=1)
    relevant, wrong = hits.sum(1), others[:, -1]
    right = jnp.where(hits, wrong[:, None] - others, 0).sum(1)
    pairs = relevant * wrong
    return jnp.where(pairs > 0, right / jnp.maximum(pairs, 1), 0.5)


def activity_groups(
    train: Integer[np.ndarray, "e 2"], n_users: int, bounds: Sequence[int] = ACTIVITY
) -> tuple[Int[np.ndarray, "u"], tuple[str, ...]]:
    """Every user's group by the number of training interactions, and the names of the groups.

    Raises:
        ValueError: the bounds do not ascend, or one is below 1.
    """
    if not bounds or list(bounds) != sorted(set(bounds)) or bounds[0] < 1:
        raise ValueError(f"bounds {tuple(bounds)}: give ascending numbers from 1")
    count = np.bincount(train[:, 0], minlength=n_users)
    edges = [0, *bounds]
    names = [f"{a}-{b - 1}" for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return np.searchsorted(bounds, count, side="right").astype(np.int32), (
        *names,
        f"{bounds[-1]}+",
    )


def by_group(
    per_user: Mapping[str, Array | np.ndarray],
    group: Integer[np.ndarray, "u"],
    names: Sequence[str],
) -> dict[str, dict[str, float]]:
    """`ranking.summarise` of every group with a user that counts, by the group's name.

    Args:
        per_user: from `ranking.evaluate`, a row for each user of its task.
        group: number of each of these users' groups.
        names: of the groups.
    """
    rows = {n: np.asarray(x) for n, x in per_user.items()}
    chosen = {name: np.flatnonzero(group == g) for g, name in enumerate(names)}
    return {
        name: summarise({n: x[place] for n, x in rows.items()})
        for name, place in chosen.items()
        if (rows["relevant"][place] > 0).any()
    }


def warm_and_cold(
    held_out: Integer[np.ndarray, "e 2"], train: Integer[np.ndarray, "e1 2"], n_items: int
) -> dict[str, Integer[np.ndarray, "_ 2"]]:
    """The held-out pairs whose item has a training interaction ("warm"), and the others ("cold").

    A ranking task of either has the metrics of warm or cold items; all items stay candidates.
    """
    known = np.zeros(n_items, bool)
    known[train[:, 1]] = True
    warm = known[held_out[:, 1]]
    return {"warm": held_out[warm], "cold": held_out[~warm]}
