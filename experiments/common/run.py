"""Train, select on validation, test once."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common.config import Run
from experiments.common.evaluation import predict, ranker
from experiments.common.problem import (
    build_objective,
    build_optimiser,
    build_source,
    load_data,
    shrink,
)
from experiments.common.results import Record, environment
from mmjax.data.interactions import Interactions
from mmjax.training.fit import FitResult, fit


class Interrupted(RuntimeError):
    """A signal stopped the training; the same run on the same workdir resumes."""


class Outcome(NamedTuple):
    """A finished run."""

    record: Record
    variables: list[dict[str, Any]]
    """Best variables of each seed."""
    history: list[dict[str, Any]]
    stopped_because: list[str]


def run(config: Run, *, data: Interactions | None = None, test: bool = True) -> Outcome:
    """Train every seed of `config`, keep its best epoch on validation, then score test once.

    Args:
        config: what to run. With a workdir the run is saved there and resumed from there.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone (selection among configurations).

    Raises:
        DataError: the data are missing or broken.
        ValueError: the configuration does not fit the data or the workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; nothing is evaluated.
    """
    if config.smoke:
        config = shrink(config)
    data = load_data(config) if data is None else data
    fits = _fit_all(config, data)
    objective = build_objective(config, data)
    valid = ranker(config, data, "valid", objective.score)
    tested = ranker(config, data, "test", objective.score) if test else None
    scores: dict[str, dict[str, list[float]]] = {"valid": {}, "test": {}}
    variables = [v for f in fits for v in f.variables]
    for v in variables:
        vectors = predict(objective, v)
        _append(scores["valid"], valid(vectors).mean)
        if tested is not None:
            _append(scores["test"], tested(vectors).mean)
    record = Record(
        method=config.method,
        data=data.name,
        split=data.split,
        mask=config.mask,
        seeds=list(config.seed_list()),
        valid=scores["valid"],
        test=scores["test"],
        best_epoch=[int(e) for f in fits for e in f.best_epoch],
        epochs=[int(f.history[-1]["epoch"]) for f in fits for _ in f.variables],
        # Time of training from the records, which a resumed run goes on counting.
        seconds=round(sum(f.history[-1]["elapsed"] for f in fits), 1),
        parameters=sum(np.size(x) for x in jax.tree.leaves(variables[0]["params"])),
        config=config.identity() | {"data_digest": data.digest},
        seconds_per_epoch=round(max(f.seconds_per_epoch for f in fits), 4),
        step_mib=round(max(f.temporary_bytes for f in fits) / 2**20, 1),
        **environment(),
    )
    history = [line for f in fits for line in f.history]
    return Outcome(record, variables, history, [f.stopped_because for f in fits])


def _append(table: dict[str, list[float]], values: dict[str, float]) -> None:
    for name, value in values.items():
        table.setdefault(name, []).append(round(value, 6))


def _fit_all(config: Run, data: Interactions) -> list[FitResult]:
    seeds = config.seed_list()
    if config.together or len(seeds) == 1:
        return [_fit(config, data, seeds, config.workdir)]
    return [
        _fit(config, data, (s,), config.workdir and config.workdir / f"seed_{s}") for s in seeds
    ]


def _fit(
    config: Run, data: Interactions, seeds: tuple[int, ...], workdir: Path | None
) -> FitResult:
    objective, source = build_objective(config, data), build_source(config, data)
    optimiser = build_optimiser(config.optim, source.steps_per_epoch)
    shown = dataclasses.replace(config, ks=tuple(sorted({*config.ks, 20})))
    valid = ranker(shown, data, "valid", objective.score)

    def evaluate(params: Any, extra: Any, key: jax.Array) -> dict[str, float]:
        return valid(predict(objective, {"params": params, **extra})).mean

    result = fit(
        objective,
        source,
        optimiser,
        evaluate,
        config.fit,
        seeds=seeds,
        workdir=workdir,
        run_config=config.identity() | {"data_digest": data.digest},
    )
    if result.stopped_because == "signal":
        raise Interrupted("stopped by a signal; the same command resumes")
    return result
