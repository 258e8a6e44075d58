"""Rows of new documents by IncDSI: mmjax's Newton method against L-BFGS on PyTorch.

    python -m experiments.benchmarks.incdsi [--torch-python PATH] [--out FILE]

Both solve the same rows one after the other, each joining the tables before the next; the peer as
the authors do, by L-BFGS with strong Wolfe line searches until a step is shorter than 1e-3 or the
loss is 0. Sides run in alternating rounds, the peer in a process of its own; the losses that they
reach stand beside the times. The peer's Python needs `torch`. With --one-thread --cpu-time the
figures hold on a machine that has other work to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import harness
from experiments.benchmarks.incdsi.problem import (
    BALANCE,
    DECAY,
    NEW,
    OLD,
    STEPS,
    TOLERANCE,
    Problem,
    problem,
)
from mmjax.models.retrieval import incdsi


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """Rows of new documents by IncDSI: Newton's method against L-BFGS on PyTorch."""

    documents: tuple[int, ...] = (10_000, 100_000)
    """Documents of the index."""
    width: int = 768
    """Width of the rows."""
    new: int = 10
    """Documents that arrive."""


def solve(inputs: Problem) -> Callable[[], Any]:
    """The compiled solve of all new rows."""
    n, room = len(inputs.rows), ((0, len(inputs.new)), (0, 0))
    rows, queries = (jnp.asarray(np.pad(x, room)) for x in (inputs.rows, inputs.queries))
    new, starts = jnp.asarray(inputs.new), jnp.asarray(inputs.starts)
    margins = incdsi.Margins(BALANCE, NEW, OLD, DECAY)

    def run() -> Any:
        return incdsi.append_jit(
            rows, queries, n, new, starts, margins, most_steps=STEPS, tolerance=TOLERANCE
        )

    return run


def measure(options: Options, peer: harness.Peer) -> dict[str, Any]:
    """Seconds of both sides for every number of documents; prints the tables."""
    result = {}
    for documents in options.documents:
        run = solve(problem(documents, options.width, options.new))
        losses = {"mmjax": float(run()[2].loss.mean())}
        candidates = {
            "mmjax": harness.timed(run, wait=jax.block_until_ready, clock=harness.clock(options)),
        }
        name = f"torch {documents}"
        if name in peer.candidates:
            candidates["L-BFGS"] = peer.candidates[name]
            losses["L-BFGS"] = peer.candidates[f"{name} loss"]()
        compared = harness.compare(
            candidates,
            rounds=options.rounds,
            title=f"{documents:,} documents",
            note=lambda row, losses=losses: f"mean loss {losses[row.name]:.5f}",
        )
        result[str(documents)] = {
            "seconds": compared.seconds,
            "loss": losses,
            "speed_up": compared.speed_up,
        }
    return result


def main(options: Options) -> None:
    """Measure, print the tables, write the JSON."""
    harness.limit_threads(options)
    sizes = {"documents": options.documents, "width": options.width, "new": options.new}
    with harness.peer(options, __name__, **sizes) as peer:
        record = {
            **harness.record(options),
            **peer.about,
            **sizes,
            "documents": measure(options, peer),
        }
    harness.write(options, record)
