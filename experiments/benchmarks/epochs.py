"""What an epoch of every method of the bench costs, on a machine that does nothing else.

    python -m experiments.benchmarks.epochs [--data NAME] [--out FILE]

Every method trains a few epochs with the first point of its grid: seconds (median after a warm-up),
parameters, and the memory of the compiled program beside its arguments.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

from experiments.benchmarks import timing
from experiments.benchmarks.recommenders import Ours


def cost(method: str, data: Any, rounds: int) -> dict[str, Any]:
    """Seconds of each epoch, parameters and memory of a method."""
    ours = Ours(method, data, own=True)
    ours.epoch()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        ours.epoch()
        seconds.append(time.perf_counter() - start)
    memory = {"parameters": ours.parameters, "mib": ours.temporary_mib}
    return {"seconds": seconds, "steps": ours.steps, **memory}


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="lastfm_2k")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON to write")
    flags = parser.parse_args()

    from experiments.common.methods import METHODS
    from mmjax.data.loading import load
    from mmjax.data.synthetic.interactions import communities

    data = communities() if flags.data == "communities" else load(flags.data, kind="interactions")
    found = {}
    for method in METHODS:
        found[method] = cost(method, data, flags.rounds)
        one = found[method]
        print(
            f"{method:10s} {median(one['seconds']):7.3f} s  {one['parameters']:>11,} parameters  "
            f"{one['mib']:7.1f} MiB",
            flush=True,
        )
    if flags.out is not None:
        environment = timing.environment(("jax", "jaxlib", "flax", "optax", "numpy"))
        timing.write_json(flags.out, {**environment, "data": repr(data), "methods": found})


if __name__ == "__main__":
    main()
