"""Vectors and pairs to rank: the problem that both sides of `evaluation` evaluate."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from experiments.benchmarks import harness

KS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "hr", "mrr")


class Problem(NamedTuple):
    """Random vectors and power-law interactions."""

    users: np.ndarray
    items: np.ndarray
    seen: np.ndarray
    held_out: np.ndarray


def problem(n_users: int, n_items: int, n_seen: int, n_held_out: int, width: int) -> Problem:
    """The same problem in every process: pairs are distinct, every user has one held out."""
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, width), np.float32) for n in (n_users, n_items))
    activity, popularity = rng.pareto(2.0, n_users) + 1, rng.pareto(1.2, n_items) + 1

    def draw(count: int) -> np.ndarray:
        user = rng.choice(n_users, count, p=activity / activity.sum())
        return user * n_items + rng.choice(n_items, count, p=popularity / popularity.sum())

    each = np.arange(n_users) * n_items + rng.integers(0, n_items, n_users)
    held_out = np.union1d(each, draw(n_held_out - n_users))
    seen = np.setdiff1d(np.unique(draw(n_seen)), held_out)
    return Problem(
        users, items, *(np.stack(np.divmod(packed, n_items), 1) for packed in (seen, held_out))
    )


def serve(
    side: Callable[[Problem, SimpleNamespace], Callable[[], dict[str, float]]],
    packages: tuple[str, ...],
) -> None:
    """Answer for one side: seconds of a run, MiB that its runs need, and its metrics.

    Args:
        side: from the problem and `harness.peer_inputs` to a function that evaluates once.
        packages: whose versions are told.
    """
    inputs = harness.peer_inputs()
    n = inputs.users
    run = side(problem(n, inputs.items, 6 * n, n * 9 // 8, inputs.width), inputs)
    before, result, clock = harness.peak_rss_mib(), {}, harness.clock(inputs)

    def seconds() -> float:
        start = clock()
        result.update(run())
        return clock() - start

    names = [f"{name}@{k}" for name in (*METRICS, "pooled_hr") for k in KS]
    answers: dict[str, harness.Candidate] = {n: lambda n=n: result[n] for n in names}
    harness.serve(
        {"seconds": seconds, "MiB": lambda: harness.peak_rss_mib() - before, **answers},
        {"packages": harness.environment(packages)["versions"]},
    )
