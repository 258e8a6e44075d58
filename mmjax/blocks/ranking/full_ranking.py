"""Exact full ranking: every item is scored for every user, a batch of users at a time.

Scores are inner products of user and item vectors, or what the caller gives. Items a user has
seen are left out. Equal scores are ordered by item id. Nothing of the size users x items ever
exists.

Axes: u users, i items, d features, e pairs, s steps, b users of a step, m seen pairs of a step,
k recommended items.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int, Integer

from mmjax.blocks.common.pairs import check_pairs, sorted_pairs
from mmjax.blocks.common.segmented_search import count_at_most
from mmjax.blocks.ranking.metrics import METRICS, NDCG
from mmjax.blocks.ranking.topk import top_k

Score = Callable[[Array, Array], Array]
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
    by_step = np.argsort(step, kind="stable")
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


@partial(jax.jit, static_argnames=("k", "precision"))
def top_items(
    user_vectors: Float[Array, "b d"],
    item_vectors: Float[Array, "i d"],
    seen: Int[Array | np.ndarray, "m 2"] | None = None,
    *,
    k: int,
    score: Score | None = None,
    precision: lax.PrecisionLike = lax.Precision.HIGHEST,
) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """The k best items of each user and their scores, best first; equal scores by item id.

    Args:
        user_vectors: finite.
        item_vectors: finite; scores are inner products, accumulated in float32.
        seen: (row of `user_vectors`, item) pairs to leave out; row b or above marks padding.
        k: items per user, 1 or more. Where fewer are left, the rest is id -1, score -inf.
        score: ``score(user_vectors, item_vectors) -> [b, i]``, in place of inner products; a
            pytree, such as a `jax.tree_util.Partial`.
        precision: of the inner products; the default ranks exactly on every device.

    Raises:
        ValueError: k is below 1.
    """
    if score is None:
        scores = jnp.einsum(
            "bd,id->bi",
            user_vectors,
            item_vectors,
            precision=precision,
            preferred_element_type=jnp.float32,
        )
    else:
        scores = score(user_vectors, item_vectors).astype(jnp.float32)
    if seen is not None:
        scores = scores.at[seen[:, 0], seen[:, 1]].set(-jnp.inf, mode="drop")
    values, ids = top_k(scores, k)
    return ids, values


@partial(jax.jit, static_argnames=("k", "precision"))
def rank(
    task: RankingTask,
    user_vectors: Float[Array, "n d"],
    item_vectors: Float[Array, "i d"],
    *,
    k: int,
    score: Score | None = None,
    precision: lax.PrecisionLike = lax.Precision.HIGHEST,
) -> Int[Array, "u k"]:
    """The k best unseen items of each user of the task, best first; -1 where fewer are left.

    Args:
        task: from `ranking_task`; its `users` are the rows of the result.
        user_vectors: finite, of all users.
        item_vectors: finite, of all items.
        k: items per user.
        score: see `top_items`.
        precision: see `top_items`.

    Raises:
        ValueError: k is below 1, or there are not as many vectors as the task has users and items.
    """
    for vectors, count, what in (
        (user_vectors, task.n_users, "user"),
        (item_vectors, task.n_items, "item"),
    ):
        # Inside a jitted function a missing row would be read as the last one, without a word.
        if vectors.shape[0] != count:
            raise ValueError(f"{vectors.shape[0]} {what} vectors for a task of {count} {what}s")

    def step(users_and_seen: tuple[Array, Array]) -> Array:
        users, seen = users_and_seen
        rows = user_vectors[users]
        return top_items(rows, item_vectors, seen, k=k, score=score, precision=precision)[0]

    ids = lax.map(step, (task.batches, task.seen))
    return ids.reshape(-1, k)[task.place]


def _is_relevant(task: RankingTask, ids: Array) -> Array:
    start, stop = (
        jnp.broadcast_to(x[:, None], ids.shape) for x in (task.start[:-1], task.start[1:])
    )
    count = count_at_most(task.relevant, start, stop, ids, longest=task.most_relevant)
    largest_at_most = task.relevant.at[start + count - 1].get(mode="clip")
    return (count > 0) & (largest_at_most == ids)


@partial(jax.jit, static_argnames=("ks", "ndcg", "precision"))
def _evaluate(
    task: RankingTask,
    user_vectors: Array,
    item_vectors: Array,
    *,
    ks: tuple[int, ...],
    ndcg: str,
    score: Score | None,
    precision: lax.PrecisionLike,
) -> dict[str, Array]:
    ids = rank(task, user_vectors, item_vectors, k=max(ks), score=score, precision=precision)
    finite = jnp.isfinite(user_vectors).all() & jnp.isfinite(item_vectors).all()
    return {
        name: jnp.where(finite, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x
        for name, x in judge(task, ids, ks=ks, ndcg=ndcg).items()
    }


@partial(jax.jit, static_argnames=("ks", "ndcg"))
def judge(
    task: RankingTask,
    ids: Int[Array, "u k"],
    *,
    ks: Sequence[int] = (5, 10, 20, 50),
    ndcg: str = "standard",
) -> dict[str, Array]:
    """The metrics of `evaluate` for rankings made elsewhere, such as by a search over item ids.

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
        raise ValueError(f"judge: ks = {ks}, but the rankings have {ids.shape[1]} items")
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


def evaluate(
    task: RankingTask,
    user_vectors: Float[Array, "n d"],
    item_vectors: Float[Array, "i d"],
    *,
    ks: Sequence[int] = (5, 10, 20, 50),
    ndcg: str = "standard",
    score: Score | None = None,
    precision: lax.PrecisionLike = lax.Precision.HIGHEST,
) -> dict[str, Array]:
    """Every metric of `metrics.METRICS` at every K, one value per user of the task.

    Args:
        task: from `ranking_task`.
        user_vectors: of all users.
        item_vectors: of all items.
        ks: values of K; a K above the number of items is allowed.
        ndcg: "standard", or "list" as in the code of DMRL and AD-DRL; see `metrics.ndcg_list`.
        score: see `top_items`.
        precision: see `top_items`.

    Returns:
        Arrays ``[u]`` in the order of `task.users`: "recall@20" and the like, "hits@20" (relevant
        items among the first 20), "relevant" (held-out items). Metrics are NaN if a vector is not
        finite.

    Raises:
        ValueError: `ks` is empty, repeats or holds a number below 1, there is no such `ndcg`, or
            there are not as many vectors as the task has users and items.
    """
    return _evaluate(
        task,
        user_vectors,
        item_vectors,
        ks=_checked(ks, ndcg),
        ndcg=ndcg,
        score=score,
        precision=precision,
    )


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
