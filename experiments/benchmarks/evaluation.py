"""Full ranking with all metrics: `mmjax.blocks.ranking` against PyTorch on the same vectors.

    python -m experiments.benchmarks.evaluation --torch-python PYTHON --out RESULT.json

Users, items and pairs are as many as in Amazon Sports. A run goes from user and item vectors to
the mean of Recall, NDCG, Precision, MAP and HR at every K. The peer scores 4,096 users at a time,
as MMRec does, sets seen items to -inf, calls `torch.topk` and finds the hits by one sorted
search; a second peer takes the user batch that keeps scores in the cache. Both sides run in a
process of their own, so that each has its own peak memory; PYTHON may be any interpreter with
PyTorch and NumPy.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.timing import (
    Candidate,
    environment,
    interleaved,
    serve,
    summary,
    table,
    worker,
    write_json,
)

KS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "hr")
MODULE = "experiments.benchmarks.evaluation"


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


def jax_side(p: Problem) -> Callable[[], dict[str, float]]:
    """One evaluation by this library."""
    import jax.numpy as jnp

    from mmjax.blocks.ranking.full_ranking import evaluate, ranking_task, summarise

    task = ranking_task(p.held_out, p.seen, len(p.users), len(p.items))
    users, items = jnp.asarray(p.users), jnp.asarray(p.items)
    return lambda: summarise(evaluate(task, users, items, ks=KS))


def torch_side(p: Problem, batch: int) -> Callable[[], dict[str, float]]:
    """One evaluation by PyTorch, as vectorised as it allows."""
    torch: Any = import_module("torch")

    n_users, n_items = len(p.users), len(p.items)
    users, items = torch.from_numpy(p.users), torch.from_numpy(p.items)
    seen = torch.from_numpy(p.seen)
    starts = list(range(0, n_users, batch))
    bounds = torch.searchsorted(seen[:, 0].contiguous(), torch.tensor([*starts, n_users])).tolist()
    masks = [
        seen[a:b].T - torch.tensor([[s], [0]])
        for s, a, b in zip(starts, bounds[:-1], bounds[1:], strict=True)
    ]
    keys = torch.from_numpy(p.held_out[:, 0] * n_items + p.held_out[:, 1])
    relevant = torch.bincount(torch.from_numpy(p.held_out[:, 0]), minlength=n_users)
    rank = torch.arange(1, max(KS) + 1)
    discount = 1 / torch.log2(rank + 1.0)
    ideal = discount.cumsum(0)

    def best(start: int, mask: Any) -> Any:
        scores = users[start : start + batch] @ items.T
        scores[mask[0], mask[1]] = -torch.inf
        return torch.topk(scores, max(KS), dim=1).indices

    @torch.inference_mode()
    def run() -> dict[str, float]:
        ids = torch.cat([best(*x) for x in zip(starts, masks, strict=True)])
        packed = torch.arange(n_users)[:, None] * n_items + ids
        place = torch.searchsorted(keys, packed).clamp_(max=len(keys) - 1)
        hits = (keys[place] == packed).float()
        found = hits.cumsum(1)
        gain = (hits * discount).cumsum(1)
        precisions = (hits * found / rank).cumsum(1)
        result = {}
        for k in KS:
            top = relevant.clamp(max=k)
            values = {
                "recall": found[:, k - 1] / relevant,
                "ndcg": gain[:, k - 1] / ideal[top - 1],
                "precision": found[:, k - 1] / k,
                "map": precisions[:, k - 1] / top,
                "hr": (found[:, k - 1] > 0).float(),
            }
            result |= {f"{name}@{k}": float(x.double().mean()) for name, x in values.items()}
            result[f"pooled_hr@{k}"] = float(found[:, k - 1].double().sum() / relevant.sum())
        return result

    return run


def serve_side(side: str, p: Problem) -> None:
    """Answer for one library: seconds of a run, MiB that its runs need, and its metrics."""

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    run = jax_side(p) if side == "mmjax" else torch_side(p, int(side))
    before, result = peak(), {}

    def seconds() -> float:
        start = time.perf_counter()
        result.update(run())
        return time.perf_counter() - start

    names = [f"{name}@{k}" for name in (*METRICS, "pooled_hr") for k in KS]
    answers: dict[str, Candidate] = {name: lambda name=name: result[name] for name in names}
    packages = ["jax", "jaxlib", "numpy"] if side == "mmjax" else ["torch", "numpy"]
    serve(
        {"seconds": seconds, "MiB": lambda: peak() - before, **answers},
        {"packages": environment(packages)["versions"]},
    )


def main() -> None:
    """Parse the flags, run both sides, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--torch-python", help="interpreter with PyTorch; without it, ours alone")
    parser.add_argument("--out", help="write the result here, as JSON")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--users", type=int, default=35_598)
    parser.add_argument("--items", type=int, default=18_357)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.users < 1 or flags.items <= max(KS) or flags.width < 1 or flags.rounds < 1:
        parser.error(f"--users, --width and --rounds must be 1 or more, --items above {max(KS)}")
    sizes = {"users": flags.users, "items": flags.items, "width": flags.width}
    if flags.side:
        p = problem(flags.users, flags.items, 6 * flags.users, flags.users * 9 // 8, flags.width)
        return serve_side(flags.side, p)

    shape = [f"--{name}={value}" for name, value in sizes.items()]
    cached = max(1, 8 * 2**20 // (4 * flags.items))
    sides = {"mmjax": (sys.executable, "mmjax")}
    if flags.torch_python:
        sides |= {f"torch, {n} users": (flags.torch_python, str(n)) for n in (4096, cached)}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker(python, MODULE, "--side", side, *shape))
            for name, (python, side) in sides.items()
        }
        samples = interleaved(
            {name: w.candidates["seconds"] for name, w in workers.items()},
            rounds=flags.rounds,
            progress=lambda text: print(text, file=sys.stderr),
        )
        memory = {name: w.candidates["MiB"]() for name, w in workers.items()}
        metrics = {
            name: {m: answer() for m, answer in w.candidates.items() if "@" in m}
            for name, w in workers.items()
        }
        packages = {name: w.about["packages"] for name, w in workers.items()}
    # Random floats: sums in another order swap a few neighbours, so the last digits may differ.
    apart = max(
        abs(value - metrics["mmjax"][m]) for side in metrics.values() for m, value in side.items()
    )
    if apart > 1e-4:
        raise SystemExit(f"the sides disagree by {apart:.1e}: {metrics}")
    baseline = list(sides)[-1 if len(sides) == 1 else 1]
    rows = summary(samples, baseline)
    print(table(rows, baseline, {name: f"{mib:.0f} MiB" for name, mib in memory.items()}))
    print(f"largest difference of any metric: {apart:.1e}")
    if flags.out:
        content = {
            "environment": environment(),
            "packages": packages,
            "sizes": sizes,
            "seconds": samples,
            "speed_up": {row.name: row.speedup for row in rows},
            "baseline": baseline,
            "peak_mib_over_data": memory,
            "metrics": metrics,
        }
        write_json(flags.out, content)


if __name__ == "__main__":
    main()
