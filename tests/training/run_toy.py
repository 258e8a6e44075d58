"""Trains the toy objective as a process of its own, to be killed, limited or joined by a twin.

python -m tests.training.run_toy WORKDIR ['{"epochs": 3, ...}' [PROCESS COUNT PORT]]
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import optax

from mmjax.training.config import FitConfig
from mmjax.training.fitting import FitResult, fit
from mmjax.training.naming import named
from tests.training import toy

PAUSE = 0.02


def evaluate(params, extra, key):
    """The toy evaluation, slow enough for a kill to find the run at work."""
    time.sleep(PAUSE)
    return toy.evaluate(params, extra, key)


def train(workdir: Path | None, options: dict) -> FitResult:
    """One run; `options` are those of `FitConfig`, and `seeds`."""
    defaults = {
        "epochs": 40,
        "patience": 0,
        "metric": "recall@20",
        "quiet": True,
        "tensorboard": False,
        "save_seconds": 0.0,
    }
    options = defaults | options
    seeds = options.pop("seeds", (0, 1))
    optimiser = optax.adam(0.02)
    config = FitConfig(**options)
    return fit(
        toy.objective(), toy.source(), optimiser, evaluate, config, seeds=seeds, workdir=workdir
    )


def main(workdir: str, options: str = "{}", *twin: str) -> None:
    """Train and print one line of JSON: why it stopped, the losses, where the arrays are."""
    if twin:
        process, count, port = map(int, twin)
        jax.distributed.initialize(f"localhost:{port}", count, process, initialization_timeout=60)
    result = train(Path(workdir), json.loads(options))
    if jax.process_index() == 0:
        np.savez(f"{workdir}.npz", **named({"state": result.state, "best": result.variables}))
    losses = [r["loss"] for r in result.history]
    print(json.dumps({"why": result.stopped_because, "losses": losses}), flush=True)
    if twin:
        jax.distributed.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
