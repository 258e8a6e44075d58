"""Exact full ranking of a split by any `Retriever`, a chunk of users at a time, and its metrics.

Candidates that a user has seen are left out, equal scores are ordered by id, and nothing of the
size users x items ever exists.

Axes: u users, i items, e pairs, s steps, b users of a step, m seen pairs of a step, k items found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int, Integer

from mmjax.blocks.common.pairs import check_pairs, sorted_pairs
from mmjax.blocks.common.segmented_search import count_at_most
from mmjax.blocks.ranking.metrics import METRICS, NDCG
from mmjax.objective import Variables
from mmjax.retriever import Exclusion, Retriever, TopK, Vectors, index_of

_CACHE = 8 * 2**20
_DEVICE = 256 * 2**20


# Fields are Any because JAX rebuilds pytrees with placeholders that are no arrays.
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RankingTask:
    """Whom to rank, what they have seen and what should be found; a pytree from `ranking_task`.

    Users are dealt to steps so that each step has about as many seen pairs as any other.

    Attributes:
        users: int32[u] users that are ranked, ascending; the rows of every result.
        batches: int32[s, b] user ids by step; padding repeats users.
        place: int32[u] where in the flattened `batches` each of `users` stands.
        seen: int32[s, m, 2] (row of the step, item); padding has row b.
        relevant: int32[e] held-out items, by row of `users`, ascending for each.
        start: int32[u + 1] where the held-out items of each row begin.
        n_users: number of users, also of those that are not ranked.
        n_items: number of items.
        most_relevant: most held-out items of one user.
        most_seen: most seen items of one user.
    """

    users: Any
    batches: Any
    place: Any
    seen: Any
    relevant: Any
    start: Any
    n_users: int = field(metadata={"static": True})
    n_items: int = field(metadata={"static": True})
    most_relevant: int = field(metadata={"static": True})
    most_seen: int = field(metadata={"static": True})


def ranking_task(
    held_out: Integer[np.ndarray, "e 2"],
    seen: Integer[np.ndarray, "e1 2"],
    n_users: int,
    n_items: int,
    *,
    users: Integer[np.ndarray, "u"] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
) -> RankingTask:
    """Prepare a ranking on the host.

    Args:
        held_out: (user, item) pairs to be found; repeated pairs count once.
        seen: (user, item) pairs that are never recommended. A pair that is also held out stays
            relevant and cannot be found.
        n_users: users; ids lie in [0, n_users).
        n_items: items, all of them candidates.
        users: distinct users to rank; None ranks those with a held-out item. Users without one
            get zeros, and `summarise` leaves them out.
        batch_size: users scored at a time; None takes what `memory` allows.
        memory: bytes for the scores of a step, used when `batch_size` is None; None takes 8 MiB
            on CPU, so that they stay in the cache, and 256 MiB elsewhere.

    Raises:
        ValueError: an id is out of range, users repeat, there is nobody to rank, or a size is
            below 1.
    """
    held_out = sorted_pairs(check_pairs(held_out, n_users, n_items, "held_out"), n_items)
    seen = sorted_pairs(check_pairs(seen, n_users, n_items, "seen"), n_items)
    users = np.unique(held_out[:, 0]) if users is None else _check_users(users, n_users)
    if not len(users):
        raise ValueError("ranking_task: no user to rank; held_out is empty and users names nobody")
    if batch_size is None:
        if memory is None:
            memory = _CACHE if jax.default_backend() == "cpu" else _DEVICE
        batch_size = max(1, memory // (4 * n_items))
    if batch_size < 1:
        raise ValueError(f"ranking_task: batch_size = {batch_size}; it must be 1 or more")
    steps = -(-len(users) // batch_size)
    batch_size = -(-len(users) // steps)

    row = np.full(n_users, -1)
    row[users] = np.arange(len(users))
    held_out, seen = (x[row[x[:, 0]] >= 0] for x in (held_out, seen))
    held_row, seen_row = row[held_out[:, 0]], row[seen[:, 0]]

    # Dealt by falling number of seen items, so that no step pads much for one heavy batch.
    order = np.argsort(-np.bincount(seen_row, minlength=len(users)), kind="stable")
    dealt = np.resize(order, (batch_size, steps)).T
    place = np.empty(len(users), np.int64)
    turn = np.arange(len(users))
    place[order] = (turn % steps) * batch_size + turn // steps

    step, inside = np.divmod(place[seen_row], batch_size)
    # By row of the step, as `Exclusion` wants its pairs.
    by_step = np.lexsort((inside, step))
    count = np.bincount(step, minlength=steps)
    first = np.cumsum(count) - count
    padded = np.full((steps, max(1, int(count.max())), 2), batch_size)
    column = np.arange(len(step)) - np.repeat(first, count)
    padded[step[by_step], column] = np.stack([inside, seen[:, 1]], 1)[by_step]

    start = np.searchsorted(held_row, np.arange(len(users) + 1))
    return RankingTask(
        users=_int32(users),
        batches=_int32(users[dealt]),
        place=_int32(place),
        seen=_int32(padded),
        relevant=_int32(held_out[:, 1] if len(held_out) else np.zeros(1)),
        start=_int32(start),
        n_users=n_users,
        n_items=n_items,
        most_relevant=int(np.diff(start).max(initial=0)),
        most_seen=int(np.bincount(seen_row, minlength=1).max()),
    )


def _int32(x: np.ndarray) -> Array:
    return jnp.asarray(x, jnp.int32)


def _check_users(users: np.ndarray, n_users: int) -> np.ndarray:
    users = np.asarray(users).astype(np.int64)
    distinct = np.unique(users)
    if len(distinct) != len(users):
        raise ValueError("ranking_task: users must be distinct")
    if len(users) and not 0 <= distinct[0] <= distinct[-1] < n_users:
        raise ValueError(
            f"ranking_task: users lie in [{distinct[0]}, {distinct[-1]}], outside [0, {n_users})"
        )
    return distinct


@partial(jax.jit, static_argnames="k")
def rank(retriever: Retriever, index: Any, task: RankingTask, *, k: int) -> TopK:
    """The k best unseen items of each user of the task, best first; -1 where fewer are left.

    Args:
        retriever: its queries are users by number.
        index: from `index_of`.
        task: from `ranking_task`; its `users` are the rows of the result.
        k: items per user.

    Raises:
        ValueError: k is below 1, or the retriever knows another number of items.
    """
    if retriever.n_candidates != task.n_items:
        raise ValueError(
            f"the retriever has {retriever.n_candidates} candidates, the task {task.n_items} items"
        )
    if isinstance(index, Vectors):
        for vectors, count, kind in zip(
            index, (task.n_users, task.n_items), ("user", "item"), strict=True
        ):
            # Inside a jitted function a missing row would be read as the last one, silently.
            if vectors.shape[0] != count:
                raise ValueError(f"{vectors.shape[0]} {kind} vectors for a task of {count} {kind}s")

    def step(users_and_seen: tuple[Array, Array]) -> TopK:
        users, seen = users_and_seen
        return retriever.retrieve(index, users, Exclusion(seen, task.most_seen), k=k)

    found = lax.map(step, (task.batches, task.seen))
    return jax.tree.map(lambda x: x.reshape(-1, k)[task.place], found)


def _is_relevant(task: RankingTask, ids: Array) -> Array:
    start, stop = (
        jnp.broadcast_to(x[:, None], ids.shape) for x in (task.start[:-1], task.start[1:])
    )
    count = count_at_most(task.relevant, start, stop, ids, longest=task.most_relevant)
    largest_at_most = task.relevant.at[start + count - 1].get(mode="clip")
    return (count > 0) & (largest_at_most == ids)


@partial(jax.jit, static_argnames=("ks", "ndcg"))
def ranking_metrics(
    task: RankingTask,
    ids: Int[Array, "u k"],
    *,
    ks: Sequence[int] = (5, 10, 20, 50),
    ndcg: str = "standard",
) -> dict[str, Array]:
    """Every metric of `METRICS` at every K of rankings, one value per user of the task.

    Args:
        task: from `ranking_task`; what users have seen is not looked at.
        ids: items of each of `task.users`, best first, each at most once; -1 is a miss.
        ks: values of K, a hashable tuple, at most as large as there are columns.
        ndcg: see `evaluate`.

    Raises:
        ValueError: a K is larger than the rankings are long, or there is no such `ndcg`.
    """
    ks = _checked(ks, ndcg)
    if max(ks) > ids.shape[1]:
        raise ValueError(f"ranking_metrics: ks = {ks}, but the rankings have {ids.shape[1]} items")
    hits = _is_relevant(task, ids)
    relevant = task.start[1:] - task.start[:-1]
    result = {"relevant": relevant}
    for k in ks:
        result[f"hits@{k}"] = hits[:, :k].sum(1, dtype=jnp.int32)
        for name, metric in {**METRICS, "ndcg": NDCG[ndcg]}.items():
            result[f"{name}@{k}"] = metric(hits, jnp.maximum(relevant, 1), k)
    return result


def _checked(ks: Sequence[int], ndcg: str) -> tuple[int, ...]:
    ks = tuple(ks)
    if not ks or len(set(ks)) != len(ks) or min(ks) < 1:
        raise ValueError(f"ks = {ks}; give distinct numbers, each 1 or more")
    if ndcg not in NDCG:
        raise ValueError(f"ndcg {ndcg!r} is none of {', '.join(NDCG)}")
    return ks


@partial(jax.jit, static_argnames=("ks", "ndcg"))
def _evaluate(
    retriever: Retriever, index: Any, task: RankingTask, *, ks: tuple[int, ...], ndcg: str
) -> dict[str, Array]:
    ids, scores = rank(retriever, index, task, k=max(ks))
    leaves = [x for x in jax.tree.leaves(index) if jnp.issubdtype(x.dtype, jnp.inexact)]
    finite = jnp.array([jnp.isfinite(x).all() for x in leaves]).all()
    # Minus infinity marks a missing place; finite vectors may still have scores that are not.
    finite &= (scores < jnp.inf).all()
    return {
        name: jnp.where(finite, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x
        for name, x in ranking_metrics(task, ids, ks=ks, ndcg=ndcg).items()
    }


def evaluate(
    retriever: Retriever,
    variables: Variables,
    task: RankingTask,
    *,
    ks: Sequence[int] = (5, 10, 20, 50),
    ndcg: str = "standard",
) -> dict[str, Array]:
    """Every metric of `METRICS` at every K, one value per user of the task.

    Args:
        retriever: of a model.
        variables: trained.
        task: from `ranking_task`.
        ks: values of K; a K above the number of items is allowed.
        ndcg: "standard", or "list" as in the code of DMRL and AD-DRL; see `metrics.ndcg_list`.

    Returns:
        Arrays ``[u]`` in the order of `task.users`: "recall@20" and the like, "hits@20" (relevant
        items among the first 20), "relevant" (held-out items). Metrics are NaN if the index is not
        finite or a score is not a number or infinite.

    Raises:
        ValueError: `ks` is empty, repeats or holds a number below 1, there is no such `ndcg`, or
            the retriever knows another number of items.
    """
    index = index_of(retriever, variables)
    return _evaluate(retriever, index, task, ks=_checked(ks, ndcg), ndcg=ndcg)


def summarise(per_user: Mapping[str, Array | np.ndarray]) -> dict[str, float]:
    """Means over the users with a held-out item, and "pooled_hr@K": all hits over all relevant.

    Args:
        per_user: the result of `evaluate`.

    Raises:
        ValueError: no user has a held-out item.
    """
    host = {name: np.asarray(x, np.float64) for name, x in per_user.items()}
    relevant = host.pop("relevant")
    counted = relevant > 0
    if not counted.any():
        raise ValueError("summarise: no user has a held-out item")
    means = {name: float(x[counted].mean()) for name, x in host.items() if "hits@" not in name}
    pooled = {
        f"pooled_hr@{name.removeprefix('hits@')}": float(x.sum() / relevant.sum())
        for name, x in host.items()
        if name.startswith("hits@")
    }
    return means | pooled
