"""Full ranking with all metrics: `mmjax.blocks.ranking` against PyTorch on the same vectors.

    python -m experiments.benchmarks.evaluation [--torch-python PATH] [--out FILE]

Users, items and pairs are as many as in Amazon Sports. A run goes from user and item vectors to
the mean of Recall, NDCG, Precision, MAP and HR at every K. The peer scores 4,096 users at a time,
as MMRec does, sets seen items to -inf, calls `torch.topk` and finds the hits by one sorted
search; a second peer takes the user batch that keeps scores in the cache. Both sides run in a
process of their own, so that each has its own peak memory (of the host); the peer's Python needs
`torch`.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import jax.numpy as jnp

from experiments.benchmarks import harness
from experiments.benchmarks.evaluation.problem import KS, Problem, serve
from mmjax.evaluation import evaluate, ranking_task, summarise
from mmjax.retriever import Vectors, given_vectors


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """Full ranking with all metrics: mmjax against PyTorch on the same vectors."""

    rounds: int = 11
    users: int = 35_598
    """Users."""
    items: int = 18_357
    """Items."""
    width: int = 64
    """Width of the vectors."""


def evaluation(p: Problem) -> Callable[[], dict[str, float]]:
    """One evaluation by this library."""
    task = ranking_task(p.held_out, p.seen, len(p.users), len(p.items))
    users, items = jnp.asarray(p.users), jnp.asarray(p.items)
    retriever, vectors = given_vectors(len(p.items)), Vectors(users, items)
    return lambda: summarise(evaluate(retriever, vectors, task, ks=KS))


def main(options: Options) -> None:
    """Run both sides, print the table, write the JSON.

    Raises:
        ValueError: a size is too small.
        SystemExit: the sides find different metrics.
    """
    sizes = {"users": options.users, "items": options.items, "width": options.width}
    if min(options.users, options.width, options.rounds) < 1 or options.items <= max(KS):
        raise ValueError(f"users, width and rounds must be 1 or more, items above {max(KS)}")
    harness.limit_threads(options)
    cached = max(1, 8 * 2**20 // (4 * options.items))
    own = json.dumps(sizes | {"cpu_time": options.cpu_time})
    with ExitStack() as stack:
        enter = stack.enter_context
        sides: dict[str, harness.Worker | harness.Peer] = {
            "mmjax": enter(harness.worker(sys.executable, __name__, own))
        }
        for batch in (4096, cached):
            peer = enter(harness.peer(options, __name__, ("torch",), **sizes, batch=batch))
            if peer.candidates:
                sides[f"torch, {batch} users"] = peer
        baseline = list(sides)[-1 if len(sides) == 1 else 1]
        seconds = harness.interleaved(
            {name: side.candidates["seconds"] for name, side in sides.items()},
            rounds=options.rounds,
        )
        memory = {name: side.candidates["MiB"]() for name, side in sides.items()}
        metrics = {
            name: {m: answer() for m, answer in side.candidates.items() if "@" in m}
            for name, side in sides.items()
        }
        packages = {name: side.about["packages"] for name, side in sides.items()}
    # Random floats: sums in another order swap a few neighbours, so the last digits may differ.
    apart = max(
        abs(value - metrics["mmjax"][m]) for side in metrics.values() for m, value in side.items()
    )
    if apart > 1e-4:
        raise SystemExit(f"the sides disagree by {apart:.1e}: {metrics}")
    rows = harness.summary(seconds, baseline)
    print(harness.table(rows, baseline, lambda row: f"{memory[row.name]:.0f} MiB"))
    print(f"largest difference of any metric: {apart:.1e}", flush=True)
    record = {
        **harness.record(options),
        "packages": packages,
        "sizes": sizes,
        "seconds": seconds,
        "speed_up": {row.name: row.speedup for row in rows},
        "baseline": baseline,
        "peak_mib_over_data": memory,
        "metrics": metrics,
    }
    harness.write(options, record)


if __name__ == "__main__":
    serve(lambda p, _: evaluation(p), ("jax", "jaxlib", "numpy"))
