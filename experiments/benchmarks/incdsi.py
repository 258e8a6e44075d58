"""Rows of new documents by IncDSI: mmjax's Newton method against L-BFGS on PyTorch.

    python -m experiments.benchmarks.incdsi [--torch-python PATH] [--out FILE]

Both solve the same rows one after the other, each joining the tables before the next; the peer as
the authors do, by L-BFGS with strong Wolfe line searches until a step is shorter than 1e-3 or the
loss is 0. Sides run in alternating rounds, the peer in a process of its own; the losses that they
reach stand beside the times. The peer's Python needs `torch`. With --one-thread --cpu-time the
figures hold on a machine that has other work to do.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import timing

PEER = "experiments.benchmarks.torch_incdsi"
BALANCE, NEW, OLD, DECAY = 0.5, 1.0, 1.0, 1e-6
STEPS, TOLERANCE = 30, 1e-3


class Problem(NamedTuple):
    """What both sides solve."""

    rows: np.ndarray
    """float32[n, d] classifier rows."""
    queries: np.ndarray
    """float32[n, d] mean query of each row's document."""
    new: np.ndarray
    """float32[k, d] mean queries of the new documents."""
    starts: np.ndarray
    """float32[k, d] where the new rows begin."""


def problem(documents: int, width: int, new: int) -> Problem:
    """Unit queries of documents in clusters of about ten, and rows that know them."""
    draw = np.random.default_rng(0)

    def near(centres: np.ndarray) -> np.ndarray:
        x = centres + draw.standard_normal(centres.shape, np.float32) / width**0.5
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    centres = draw.standard_normal((max(1, documents // 10), width), np.float32) / width**0.5
    queries = near(centres[draw.integers(len(centres), size=documents)])
    rows = 10 * queries + draw.standard_normal((documents, width), np.float32) / width**0.5
    fresh = near(centres[draw.integers(len(centres), size=new)])
    starts = draw.uniform(-1, 1, (new, width)).astype(np.float32) / width**0.5
    return Problem(rows.astype(np.float32), queries, fresh, starts)


def ours(given: Problem) -> Callable[[], Any]:
    """The compiled solve of all new rows."""
    import jax.numpy as jnp

    from mmjax.models.retrieval import incdsi

    n, room = len(given.rows), ((0, len(given.new)), (0, 0))
    rows, queries = (jnp.asarray(np.pad(x, room)) for x in (given.rows, given.queries))
    new, starts = jnp.asarray(given.new), jnp.asarray(given.starts)
    margins = incdsi.Margins(BALANCE, NEW, OLD, DECAY)

    def run() -> Any:
        return incdsi.append_jit(
            rows, queries, n, new, starts, margins, most_steps=STEPS, tolerance=TOLERANCE
        )

    return run


def measure(flags: argparse.Namespace, remote: dict[str, timing.Candidate]) -> dict[str, Any]:
    """Seconds of both sides for every number of documents; prints the tables."""
    import jax

    found = {}
    for documents in flags.documents:
        run = ours(problem(documents, flags.width, flags.new))
        losses = {"mmjax": float(run()[2].loss.mean())}
        candidates = {
            "mmjax": timing.timed(run, wait=jax.block_until_ready, clock=timing.clock(flags)),
        }
        name = f"torch {documents}"
        if name in remote:
            candidates["L-BFGS"] = remote[name]
            losses["L-BFGS"] = remote[f"{name} loss"]()
        samples = timing.interleaved(candidates, rounds=flags.rounds, warmup=1)
        baseline = list(candidates)[-1]
        rows = timing.summary(samples, baseline)
        notes = {side: f"mean loss {value:.5f}" for side, value in losses.items()}
        print(f"\n{documents:,} documents\n{timing.table(rows, baseline, notes)}", flush=True)
        found[str(documents)] = {
            "seconds": samples,
            "loss": losses,
            "speed_up": {row.name: row.speedup for row in rows},
        }
    return found


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The flags that both processes share."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--new", type=int, default=10, help="documents that arrive")
    timing.add_how(parser)
    return parser


def main(given: list[str] | None = None) -> None:
    """Measure, print the tables, write the JSON."""
    parser = arguments(__doc__)
    parser.add_argument("--torch-python", help="Python with the peer; default this one, if it has")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON to write")
    flags = parser.parse_args(given)
    python = flags.torch_python
    if python is None and importlib.util.find_spec("torch") is not None:
        python = sys.executable
    shared = [f"--width={flags.width}", f"--new={flags.new}"]
    shared += ["--documents", *map(str, flags.documents)]
    shared += timing.passed_on(flags)
    timing.limit_threads(flags)
    with ExitStack() as stack:
        remote, about = {}, {}
        if python is not None:
            worker = stack.enter_context(timing.worker(python, PEER, *shared))
            remote, about = worker.candidates, worker.about
        found = measure(flags, remote)
    if flags.out is not None:
        environment = timing.environment(("mmjax", "jax", "jaxlib", "numpy"))
        how = {
            **timing.described(flags),
            "width": flags.width,
            "new": flags.new,
        }
        timing.write_json(flags.out, {**environment, **about, **how, "documents": found})


if __name__ == "__main__":
    main()
