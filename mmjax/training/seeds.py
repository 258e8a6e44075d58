"""A method trained on every seed of a run, selected on validation and tested once."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from mmjax.data.core.catalogue import Catalogue
from mmjax.data.formats.catalogue_files import DATASET, write_catalogue
from mmjax.data.io.files import atomic_directory
from mmjax.objective import Objective, Variables
from mmjax.training.config import FitConfig
from mmjax.training.fitting import FitResult, fit
from mmjax.training.loop import Evaluate
from mmjax.training.records import Record, environment
from mmjax.training.run_config import RunConfig
from mmjax.training.signals import Interrupted
from mmjax.training.sources.pairs import BatchSource

Evaluator = Callable[[Variables], dict[str, float]]
"""Metrics of trained variables on one split."""


class TrainingSetup(NamedTuple):
    """One method on one data set, ready to be trained and evaluated."""

    method: str
    """Its name, for the record."""
    data: Catalogue
    exclude: str
    """Rule of what rankings leave out, for the record."""
    objective: Objective
    source: BatchSource
    optimiser: optax.GradientTransformation
    fit: FitConfig
    validate: Evaluator | None
    """Validation metrics while training, of which one selects the epoch; None without any: the
    training then has its full length, and its last parameters count."""
    evaluator: Callable[[str], Evaluator]
    """From "valid" or "test" to the metrics that the record keeps."""
    splits: tuple[str, ...] = ("valid", "test")
    """Splits that have pairs to be found."""


class RunResult(NamedTuple):
    """A finished run."""

    record: Record
    variables: list[dict[str, Any]]
    """Best variables of each seed."""
    history: list[dict[str, Any]]
    stopped_because: list[str]


def train_seeds(config: RunConfig, setup: TrainingSetup, *, test: bool = True) -> RunResult:
    """Train every seed of `config`, keep its best epoch on validation, then score test once.

    Args:
        config: seeds and folder. With a workdir the run is saved there and resumed from there.
        setup: what is trained.
        test: False leaves the test split alone (selection among configurations).

    Raises:
        ValueError: the configuration does not fit the workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; nothing is evaluated.
    """
    fits = _fit_all(config, setup)
    if config.workdir is not None:
        keep_catalogue(config.workdir, setup.data)
    return run_result(config, setup, fits, test=test)


CATALOGUE = "catalogue"
"""Folder of a run that keeps raw ids, titles and counts of its data."""


def keep_catalogue(workdir: Path, data: Catalogue) -> None:
    """Write what `load_run` needs to know of the data beside the data themselves."""
    folder = workdir / CATALOGUE
    if not (folder / DATASET).exists():
        with atomic_directory(folder) as temporary:
            write_catalogue(data, temporary, kind=type(data).__name__.lower())


def run_result(
    config: RunConfig, setup: TrainingSetup, fits: Sequence[FitResult], *, test: bool = True
) -> RunResult:
    """The record and the variables of trainings, evaluated on validation and, if `test`, on test.

    Args:
        config: seeds and identity of the run.
        setup: what was trained.
        fits: trainings that hold each seed once, in order.
        test: False leaves the test split alone.
    """
    splits = [split for split in setup.splits if test or split == "valid"]
    evaluators = {split: setup.evaluator(split) for split in splits}
    scores: dict[str, dict[str, list[float]]] = {"valid": {}, "test": {}}
    variables = [v for f in fits for v in f.variables]
    for v in variables:
        for split, evaluate in evaluators.items():
            _append(scores[split], evaluate(v))
    record = Record(
        method=setup.method,
        data=setup.data.name,
        split=setup.data.split,
        exclude=setup.exclude,
        seeds=list(config.seed_list()),
        valid=scores["valid"],
        test=scores["test"],
        config=identity(config, setup.data),
        **training_fields(fits),
        **environment(),
    )
    history = [line for f in fits for line in f.history]
    return RunResult(record, variables, history, [f.stopped_because for f in fits])


def training_fields(fits: Sequence[FitResult]) -> dict[str, Any]:
    """The fields of a record on how a method was trained; nothing was if there are no `fits`."""
    weights = jax.tree.leaves(fits[0].variables[0]["params"]) if fits else []
    return {
        "best_epoch": [int(e) for f in fits for e in f.best_epoch],
        "epochs": [int(f.history[-1]["epoch"]) for f in fits for _ in f.variables],
        # Time of training from the records, which a resumed run goes on counting.
        "seconds": round(sum(f.history[-1]["elapsed"] for f in fits), 1),
        "parameters": sum(np.size(x) for x in weights),
        "seconds_per_epoch": round(max((f.seconds_per_epoch for f in fits), default=0.0), 4),
        "step_mib": round(max((f.temporary_bytes for f in fits), default=0) / 2**20, 1),
    }


def merge_seeds(results: Sequence[RunResult], config: Mapping[str, Any]) -> RunResult:
    """The results of several seeds, each trained by itself, as one.

    Args:
        results: one a seed, of the same method and data.
        config: the whole run's, for the record.
    """
    records = [r.record for r in results]

    def table(split: str) -> dict[str, list[float]]:
        names = getattr(records[0], split)
        return {n: [x for r in records for x in getattr(r, split)[n]] for n in names}

    record = dataclasses.replace(
        records[0],
        seeds=[s for r in records for s in r.seeds],
        valid=table("valid"),
        test=table("test"),
        best_epoch=[e for r in records for e in r.best_epoch],
        epochs=[e for r in records for e in r.epochs],
        seconds=round(sum(r.seconds for r in records), 1),
        config=dict(config),
    )
    return RunResult(
        record,
        [v for r in results for v in r.variables],
        [line for r in results for line in r.history],
        [why for r in results for why in r.stopped_because],
    )


def identity(config: RunConfig, data: Catalogue) -> dict[str, Any]:
    """All that decides the result of a run, its data by their digest."""
    return config.identity() | {"data_digest": data.digest}


def _append(table: dict[str, list[float]], values: dict[str, float]) -> None:
    for name, value in values.items():
        table.setdefault(name, []).append(round(value, 6))


def _fit_all(config: RunConfig, setup: TrainingSetup) -> list[FitResult]:
    seeds, folder = config.seed_list(), config.workdir
    if config.together or len(seeds) == 1:
        return [_fit(config, setup, seeds, folder)]
    return [_fit(config, setup, (s,), folder and folder / f"seed_{s}") for s in seeds]


def validation(setup: TrainingSetup) -> Evaluate | None:
    """The validation metrics of a setup as `fit` asks for them; None without validation."""
    validate = setup.validate
    if validate is None:
        return None

    def evaluate(params: Any, extra: Any, key: jax.Array) -> dict[str, float]:
        return validate({"params": params, **extra})

    return evaluate


def _fit(
    config: RunConfig, setup: TrainingSetup, seeds: tuple[int, ...], workdir: Path | None
) -> FitResult:
    result = fit(
        setup.objective,
        setup.source,
        setup.optimiser,
        validation(setup),
        setup.fit,
        seeds=seeds,
        workdir=workdir,
        run_config=identity(config, setup.data),
    )
    if result.stopped_because == "signal":
        raise Interrupted("stopped by a signal; the same command resumes")
    return result
