"""A pipeline of toy stages, as a process of its own to be killed or joined by a twin, or not.

python -m tests.training.run_pipeline WORKDIR [PROCESS COUNT PORT]
"""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import optax

from mmjax.training.config import FitConfig
from mmjax.training.pipeline import Pipeline
from tests.training import toy

FIT = FitConfig(
    epochs=4,
    patience=0,
    metric="recall@20",
    devices=1,
    quiet=True,
    tensorboard=False,
    save_seconds=0.0,
)
PAUSE = 0.0
CALLS: list[str] = []
"""Stages that did something in this process, in order: an evaluation, or a function's call."""


class Vectors(NamedTuple):
    """The vectors of the first stage."""

    users: np.ndarray
    scale: float
    names: dict[str, str]


def validation(name):
    """The toy evaluation, which notes that a stage is at work."""

    def evaluate(params, extra, key):
        CALLS.append(name)
        time.sleep(PAUSE)
        return toy.evaluate(params, extra, key)

    return evaluate


def vectors_of(first):
    """A made stage."""
    CALLS.append("vectors")
    time.sleep(PAUSE)
    users = np.asarray(first.variables[0]["params"]["user"])
    return Vectors(users, float(np.abs(users).mean()), {"from": "first"})


def centre(vectors, shift):
    """Another one, with named inputs."""
    CALLS.append("centred")
    return {"users": vectors.users - vectors.users.mean() + shift}


def story(run, *, rate=0.02, shift=0.0, last_rate=0.01, fit=FIT):
    """Train, make, make, train; the last two do not need each other."""
    first = run.train(
        "first",
        toy.objective(),
        toy.source(),
        optax.adam(rate),
        {"rate": rate},
        validate=validation("first"),
        config=fit,
    )
    vectors = run.make("vectors", vectors_of, (first,), kinds=(Vectors,))
    centred = run.make("centred", centre, {"vectors": vectors, "shift": shift})
    last = run.train(
        "last",
        toy.objective(1.0 + vectors.scale),
        toy.source(),
        optax.adam(last_rate),
        {"rate": last_rate},
        validate=validation("last"),
        config=fit,
        inputs=(vectors,),
    )
    run.record("last", {"score": last.best_metric[0]})
    return first, vectors, centred, last


def main(workdir: str, *twin: str) -> None:
    """Tell the story; a twin prints what it saw as a line of JSON."""
    run = Pipeline(Path(workdir), seed=5)
    if not twin:
        story(run)
        return
    process, count, port = map(int, twin)
    jax.distributed.initialize(f"localhost:{port}", count, process, initialization_timeout=60)
    _, vectors, centred, last = story(run, fit=dataclasses.replace(FIT, devices=None))
    seen = {"scale": vectors.scale, "centred": centred["users"].tolist(), "calls": CALLS}
    print(json.dumps(seen | {"best": last.best_metric, "records": run.records}), flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    PAUSE = 0.2
    main(*sys.argv[1:])
