"""Train every seed of a run, select on validation, test once; whatever is trained."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax

from experiments.common.results import Record, environment
from mmjax.data.core.catalogue import Catalogue
from mmjax.objective import Objective, Variables
from mmjax.training.config import FitConfig
from mmjax.training.fitting import FitResult, fit
from mmjax.training.signals import Interrupted
from mmjax.training.sources.pairs import BatchSource

Judge = Callable[[Variables], dict[str, float]]
"""Metrics of trained variables on one split."""


class Described(Protocol):
    """What a run's flags have to say here."""

    @property
    def method(self) -> str:
        """Name of the method."""
        ...

    @property
    def fit(self) -> FitConfig:
        """Length, evaluation and devices of the training."""
        ...

    @property
    def together(self) -> bool:
        """Whether all seeds are trained in one program."""
        ...

    @property
    def workdir(self) -> Path | None:
        """Folder of the run."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides the result for a seed."""
        ...

    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        ...


class Parts(NamedTuple):
    """What is trained, on what, and how it is judged."""

    data: Catalogue
    mask: str
    """What rankings leave out, for the record."""
    objective: Objective
    source: BatchSource
    optimiser: optax.GradientTransformation
    watch: Judge
    """Validation metrics while training, of which one selects the epoch."""
    judge: Callable[[str], Judge]
    """From "valid" or "test" to the metrics that the record keeps."""


class Outcome(NamedTuple):
    """A finished run."""

    record: Record
    variables: list[dict[str, Any]]
    """Best variables of each seed."""
    history: list[dict[str, Any]]
    stopped_because: list[str]


def train_seeds(config: Described, parts: Parts, *, test: bool = True) -> Outcome:
    """Train every seed of `config`, keep its best epoch on validation, then score test once.

    Args:
        config: with a workdir the run is saved there and resumed from there.
        parts: what is trained.
        test: False leaves the test split alone (selection among configurations).

    Raises:
        ValueError: the configuration does not fit the workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; nothing is evaluated.
    """
    fits = _fit_all(config, parts)
    judges = {split: parts.judge(split) for split in ("valid", "test") if test or split == "valid"}
    scores: dict[str, dict[str, list[float]]] = {"valid": {}, "test": {}}
    variables = [v for f in fits for v in f.variables]
    for v in variables:
        for split, judge in judges.items():
            _append(scores[split], judge(v))
    record = Record(
        method=config.method,
        data=parts.data.name,
        split=parts.data.split,
        mask=parts.mask,
        seeds=list(config.seed_list()),
        valid=scores["valid"],
        test=scores["test"],
        config=_identity(config, parts),
        **training_fields(fits),
        **environment(),
    )
    history = [line for f in fits for line in f.history]
    return Outcome(record, variables, history, [f.stopped_because for f in fits])


def training_fields(fits: Sequence[FitResult]) -> dict[str, Any]:
    """What a record says of how a method was trained; nothing was if there are no `fits`."""
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


def joined(outcomes: Sequence[Outcome], config: Mapping[str, Any]) -> Outcome:
    """The outcomes of several seeds, each trained by itself, as one.

    Args:
        outcomes: one a seed, of the same method and data.
        config: the whole run's, for the record.
    """
    records = [o.record for o in outcomes]

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
    return Outcome(
        record,
        [v for o in outcomes for v in o.variables],
        [line for o in outcomes for line in o.history],
        [why for o in outcomes for why in o.stopped_because],
    )


def _identity(config: Described, parts: Parts) -> dict[str, Any]:
    return config.identity() | {"data_digest": parts.data.digest}


def _append(table: dict[str, list[float]], values: dict[str, float]) -> None:
    for name, value in values.items():
        table.setdefault(name, []).append(round(value, 6))


def _fit_all(config: Described, parts: Parts) -> list[FitResult]:
    seeds, folder = config.seed_list(), config.workdir
    if config.together or len(seeds) == 1:
        return [_fit(config, parts, seeds, folder)]
    return [_fit(config, parts, (s,), folder and folder / f"seed_{s}") for s in seeds]


def _fit(
    config: Described, parts: Parts, seeds: tuple[int, ...], workdir: Path | None
) -> FitResult:
    def evaluate(params: Any, extra: Any, key: jax.Array) -> dict[str, float]:
        return parts.watch({"params": params, **extra})

    result = fit(
        parts.objective,
        parts.source,
        parts.optimiser,
        evaluate,
        config.fit,
        seeds=seeds,
        workdir=workdir,
        run_config=_identity(config, parts),
    )
    if result.stopped_because == "signal":
        raise Interrupted("stopped by a signal; the same command resumes")
    return result
