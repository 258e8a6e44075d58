"""Toy runs, what stops them, and what they leave."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmjax.training.config import FitConfig
from mmjax.training.fitting import fit
from mmjax.training.loop import NO_HOOKS
from tests.training import toy


def train(
    workdir=None,
    *,
    evaluate=toy.evaluate,
    objective=None,
    seeds=(0,),
    run=None,
    hooks=NO_HOOKS,
    **options,
):
    defaults = {"epochs": 6, "metric": "recall@20"}
    quiet = {"quiet": True, "tensorboard": False, "devices": 1}
    config = FitConfig(**defaults | quiet | options)
    return fit(
        objective or toy.objective(),
        toy.source(),
        optax.adam(0.02),
        evaluate,
        config,
        seeds=seeds,
        workdir=workdir,
        run_config=run,
        hooks=hooks,
    )


def assert_same_arrays(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def without_times(history):
    return [{k: v for k, v in r.items() if k not in ("seconds", "elapsed")} for r in history]


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def stop_at(call, number=signal.SIGTERM):
    """The toy evaluation; during its n-th call the process gets a signal."""
    calls = []

    def evaluate(params, extra, key):
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return toy.evaluate(params, extra, key)

    return evaluate
