"""Training steps of TIGER with histories padded to one length, and in batches of like length.

    python -m experiments.benchmarks.buckets [--out FILE] [--one-thread --cpu-time]

An epoch over a random part of Amazon Beauty's training histories, whose lengths are thus the real
ones. Ids are random, which costs the same. Before any step both must have the same mean loss; then
they train in alternating rounds, and speed-ups are medians of the ratios within a round.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from experiments.benchmarks import harness
from experiments.benchmarks.latency.ours import tiger_config
from experiments.common.sequences import load_data, task_of
from experiments.tiger.config import preset
from experiments.tiger.run import item_ids
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.models.generative import tiger
from mmjax.models.generative.tiger.config import TIGERConfig
from mmjax.objective import Objective
from mmjax.training.sources.pairs import BatchSource
from mmjax.training.sources.sequences import windows_source
from mmjax.training.state import init_state
from mmjax.training.step import run_epochs

BASELINE = "padded"


@dataclass(frozen=True)
class Case:
    """A model and the histories that it reads."""

    preset: str
    history: int
    buckets: tuple[int, ...]


CASES = {
    "tuned, 10 items": Case("tuned", 10, (3, 6)),
    "tuned, 20 items": Case("tuned", 20, (3, 6, 10)),
    "paper, 20 items": Case("paper", 20, (3, 6, 10)),
    "tiny": Case("tiny", 3, (1,)),
}


@dataclass(frozen=True)
class Options(harness.Options):
    """TIGER's training steps with and without padding."""

    rounds: int = 5
    data: str = "amazon_beauty"
    """Data set."""
    cases: tuple[str, ...] = ("tuned, 10 items", "tuned, 20 items")
    """Which cases; "paper, 20 items" takes a CPU a quarter of an hour."""
    windows: int = 4096
    """Training histories of an epoch."""
    batch_size: int = 256
    """Histories a step."""


def mean_loss(objective: Objective, source: BatchSource, params: Any) -> float:
    """Of all rows of an epoch that count; without dropout."""
    plan = source.epoch(jax.random.key(0))
    total = rows = 0.0
    loss = jax.jit(lambda batch: objective.loss(params, {}, batch, jax.random.key(1))[0])
    for i in range(source.steps_per_epoch):
        batch = source.batch(plan, i, jax.random.key(2))
        n = float(batch["where"].sum())
        total, rows = total + n * float(loss(batch)), rows + n
    return total / rows


def epoch(objective: Objective, source: BatchSource) -> Callable[[], Any]:
    """A call that trains one epoch, from the same parameters each time."""
    optimiser = optax.adam(1e-3)
    state = jax.jit(partial(init_state, optimiser=optimiser))(objective, key=jax.random.key(0))
    run = jax.jit(lambda o, s, state: run_epochs(o, optimiser, s, state, 1)[1]["loss"])
    return partial(run.lower(objective, source, state).compile(), objective, source, state)


def measure(case: Case, data: Sequences, options: Options) -> list[dict[str, Any]]:
    """Both on the same histories; prints their table.

    Raises:
        ValueError: their losses differ.
    """
    own = dataclasses.replace(tiger_config(case.preset), history=case.history)
    windows = data.prefixes()
    chosen = np.random.default_rng(0).permutation(len(windows.stop))[: options.windows]
    windows = Windows(*(x[chosen] for x in windows))
    task = task_of(data, data.histories("valid"))
    ids = item_ids(dataclasses.replace(own.ids, quantiser="random"), data)
    candidates, losses = {}, {}
    for name, buckets in (("buckets", case.buckets), (BASELINE, ())):
        config: TIGERConfig = dataclasses.replace(own, length_buckets=buckets)
        source = windows_source(
            data.items, windows, case.history, options.batch_size, bucket_by_length=bool(buckets)
        )
        objective = tiger.build(config, task, ids.codes, ids.sizes).objective
        plain = dataclasses.replace(config, dropout=0.0)
        still = tiger.build(plain, task, ids.codes, ids.sizes).objective
        params = jax.jit(objective.init)(jax.random.key(0))["params"]
        losses[name] = mean_loss(still, source, params)
        candidates[name] = harness.timed(
            epoch(objective, source), wait=jax.block_until_ready, clock=harness.clock(options)
        )
    if not np.isclose(*losses.values(), rtol=1e-4):
        raise ValueError(f"the losses differ: {losses}")
    return harness.compare(candidates, BASELINE, rounds=options.rounds).records


def main(options: Options) -> None:
    """Measure every case, print the tables and write the JSON.

    Raises:
        ValueError: a case of no such name.
    """
    if unknown := [name for name in options.cases if name not in CASES]:
        raise ValueError(f"cases are {'; '.join(CASES)}, got {unknown[0]!r}")
    harness.limit_threads(options)
    data = load_data(dataclasses.replace(preset("tiger", "amazon_beauty"), data=options.data))
    steps, cases = -(-options.windows // options.batch_size), {}
    for name in options.cases:
        print(f"\n{name}, {steps} steps", flush=True)
        cases[name] = measure(CASES[name], data, options)
    record = {
        **harness.record(options, ("optax",)),
        "data": options.data,
        "windows": options.windows,
        "batch_size": options.batch_size,
        "cases": cases,
    }
    harness.write(options, record)
