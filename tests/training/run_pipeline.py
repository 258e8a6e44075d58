"""A pipeline of toy stages, as a process of its own to be killed, or in the test's process.

python -m tests.training.run_pipeline WORKDIR
"""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

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
    """What the first stage leaves."""

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


if __name__ == "__main__":
    PAUSE = 0.2
    story(Pipeline(Path(sys.argv[1]), seed=5))
