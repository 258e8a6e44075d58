"""The best parameters of a run, read from its directory: for inference, without an optimiser."""

from pathlib import Path
from typing import Any, NamedTuple

from mmjax.objective import Variables
from mmjax.training.checkpoints import CheckpointError, restore
from mmjax.training.naming import nested


class Best(NamedTuple):
    """The best variables of a run; the lists go by seed."""

    seeds: tuple[int, ...]
    variables: list[Variables]
    """``{"params": ..., other collections}`` as nested dicts of numpy arrays."""
    epoch: list[int]
    """Best epoch, 0 if nothing was evaluated yet: the variables are then the initial ones."""
    metric: list[float | None]
    description: dict[str, Any]
    """The content of config.json."""
    finished: bool
    """Whether training has ended."""


def load_best(workdir: str | Path) -> Best:
    """The best variables of every seed from the newest checkpoint in `workdir` that is whole.

    Only reads, so it may be called while the run is training. A damaged newer checkpoint is named
    in a warning.

    Raises:
        CheckpointError: there is no checkpoint, or none can be read.
    """
    directory = Path(workdir) / "checkpoints"
    saved = restore(directory)
    if saved is None:
        raise CheckpointError(f"there is no checkpoint in {directory}: train there first")
    progress, description = saved.meta["progress"], saved.meta["description"]
    seeds = tuple(progress["seeds"])
    return Best(
        seeds=seeds,
        variables=[nested({k: x[s] for k, x in saved.best.items()}) for s in range(len(seeds))],
        epoch=[s["best_epoch"] for s in progress["selection"]],
        metric=[s["best_metric"] for s in progress["selection"]],
        description=description,
        finished=bool(progress["stopped_because"]),
    )
