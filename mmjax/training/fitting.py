"""From an objective to its best parameters."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optax

from mmjax.objective import Objective, Variables
from mmjax.training.config import FitConfig
from mmjax.training.loop import NO_HOOKS, Evaluate, Hooks, Loop
from mmjax.training.parallel import Devices, make_mesh
from mmjax.training.progress import Record
from mmjax.training.recorder import recording
from mmjax.training.rundir import describe
from mmjax.training.signals import StopRequest
from mmjax.training.sources.pairs import BatchSource, with_draws
from mmjax.training.state import TrainState


@dataclass(frozen=True)
class FitResult:
    """The best parameters and the history of a run; the lists go by seed."""

    seeds: tuple[int, ...]
    variables: list[Variables]
    """The best parameters and collections, on one device."""
    best_epoch: list[int]
    best_metric: list[float | None]
    """None without an evaluation function."""
    history: list[Record]
    """The records of metrics.jsonl."""
    stopped_because: str
    """"patience", "epochs", or "signal": the last one can be resumed by the same call."""
    seconds_per_epoch: float
    """Median over the epochs, without compilation, evaluation and saving; for all seeds."""
    state: TrainState
    """State after the last step, with a leading axis of seeds."""
    temporary_bytes: int = 0
    """Memory of the training program on each device beside its arguments and results; 0 if
    unknown or if there was nothing left to train."""


def fit(
    objective: Objective,
    source: BatchSource,
    optimiser: optax.GradientTransformation,
    validate: Evaluate | None = None,
    config: FitConfig | None = None,
    *,
    seeds: Sequence[int] = (0,),
    workdir: str | Path | None = None,
    run_config: Any = None,
    hooks: Hooks = NO_HOOKS,
) -> FitResult:
    """Train until the validation metric stops improving; resume if `workdir` holds this run.

    Killed at any moment and called again, it ends with the same parameters as if it had not been
    (bit for bit on CPU). SIGTERM, or SIGINT once, ends the steps in flight, saves and returns.

    Args:
        objective: the method.
        source: training data.
        optimiser: learning rates that follow a schedule count steps of the optimiser's own.
        validate: metrics on validation data, never on test data, one of which selects the best
            parameters; run in the first process on one device. None keeps the last parameters.
        config: length, selection and execution; None is `FitConfig()`.
        seeds: trained together as one program; each has its own draws, best epoch and stop.
        workdir: directory of the run; None writes nothing.
        run_config: dataclass or mapping that says what is trained, kept in config.json. A
            directory whose run had another one is refused; more epochs of the same go on, to the
            same last state as if they had been asked for at once (an evaluation that the shorter
            run had at its end can still be the best one).
        hooks: functions of your own, called on the way. A resumed run calls them again for the
            epochs that it repeats.

    Raises:
        ValueError: no or repeated seeds, too many devices, or no metric named, or one that is
            not evaluated.
        RunDirectoryError: `workdir` holds another run, or one that is running.
        CheckpointError: the disk is full, or no checkpoint can be read.
        TrainingDiverged: a loss or metric is NaN or infinite.
    """
    config = FitConfig() if config is None else config
    seeds = tuple(int(s) for s in seeds)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds {seeds}: give at least one, and each once")
    devices = Devices(make_mesh(config.devices), config.mode)
    description = describe(run_config, config, seeds)
    source = with_draws(source, objective.epoch)
    directory = None if workdir is None else Path(workdir)
    with recording(directory, config, description) as recorder, StopRequest() as stop:
        own: dict[str, Any] = {"seeds": seeds, "devices": devices, "recorder": recorder}
        loop = Loop(objective, source, optimiser, validate, config, **own, hooks=hooks)
        why = loop.progress.stopped_because or loop.run(stop)
    progress = loop.progress
    return FitResult(
        seeds=seeds,
        variables=loop.best_variables(),
        best_epoch=[s.best_epoch for s in progress.selection],
        best_metric=[s.best_metric for s in progress.selection],
        history=progress.history,
        stopped_because=why,
        seconds_per_epoch=statistics.median([r["seconds"] for r in progress.history] or [0.0]),
        state=loop.final_state(),
        temporary_bytes=loop.temporary_bytes,
    )
