"""The cost of an epoch of every method of the bench, on a machine that does nothing else.

    python -m experiments.benchmarks.epochs [--data NAME] [--out FILE]

Every method trains a few epochs with the first point of its grid: seconds (median after a warm-up),
parameters, and the memory of the compiled program beside its arguments.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

from experiments.bench.config import METHODS
from experiments.benchmarks import harness
from experiments.benchmarks.recommenders.ours import Trainer, interactions


@dataclass(frozen=True)
class Options(harness.Options):
    """The cost of an epoch of every method of the bench."""

    rounds: int = 3
    data: str = "lastfm_2k"
    """Data set."""
    methods: tuple[str, ...] = METHODS
    """Which methods."""


def cost(method: str, data: Any, options: Options) -> dict[str, Any]:
    """Seconds of each epoch, parameters and memory of a method."""
    trainer = Trainer(method, data, own=True)
    timed = {method: harness.timed(trainer.epoch, clock=harness.clock(options))}
    return {
        "seconds": harness.interleaved(timed, rounds=options.rounds, warmup=1)[method],
        "steps": trainer.steps,
        "parameters": trainer.parameters,
        "mib": trainer.temporary_mib,
    }


def main(options: Options) -> None:
    """Measure, print, write the JSON."""
    harness.limit_threads(options)
    data, costs = interactions(options.data), {}
    for method in options.methods:
        costs[method] = one = cost(method, data, options)
        print(
            f"{method:10s} {median(one['seconds']):7.3f} s  {one['parameters']:>11,} parameters  "
            f"{one['mib']:7.1f} MiB",
            flush=True,
        )
    record = harness.record(options, ("flax", "optax"))
    harness.write(options, {**record, "data": repr(data), "methods": costs})
