"""The directory of a run: whose it is, and that one process at a time writes in it.

config.json     what the run computes, and how it was executed last
metrics.jsonl   one line per epoch and seed
tb/             TensorBoard events
checkpoints/    the newest state and the best parameters
damaged/        checkpoints that could not be read and were moved out of the way
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmjax.data.io.files import atomic_write_text
from mmjax.errors import UserError
from mmjax.training.config import (
    FitConfig,
    differences,
    execution_fields,
    flatten,
    to_json,
)

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; two runs in one directory go unnoticed there.
    fcntl = None


class RunDirectoryError(UserError):
    """The directory belongs to another configuration or another process."""


def describe(run_config: Any, config: FitConfig, seeds: Sequence[int]) -> dict[str, Any]:
    """The content of config.json.

    ``run`` is the caller's configuration, ``fit`` the one of training, and ``execution`` lists
    the dotted names that may differ when the run is resumed.
    """
    whole = {"run": run_config, "fit": config, "seeds": list(seeds)}
    return {**to_json(whole), "execution": sorted(execution_fields(whole))}


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], where: Path) -> None:
    """Compare two descriptions but for what either of them counts as execution.

    Raises:
        RunDirectoryError: they differ; the message lists the names and both values.
        KeyError, TypeError: one of them is not a description.
    """
    free = {*old["execution"], *new["execution"], "execution"}
    if _has_digest(old) and _has_digest(new):
        # The content of the data counts, not how their place is spelled.
        free.add("run.data")
    if _goes_on(old, new):
        free |= {"fit.epochs", "run.fit.epochs"}

    def kept(description: Mapping[str, Any]) -> dict[str, Any]:
        flat = flatten(dict(description))
        return {name: value for name, value in flat.items() if name not in free}

    if lines := differences(kept(old), kept(new)):
        listed = "\n  ".join(lines)
        raise RunDirectoryError(
            f"{where} belongs to a run with another configuration:\n  {listed}\n"
            "Choose another directory, or remove this one to train anew. A finished run goes on by "
            "a larger fit.epochs alone, where its step sizes do not depend on the length."
        )


def _goes_on(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the new run is the old one with more epochs, its step sizes as they were: those of a
    schedule over the whole length would have been others from the first step on. A stage of a
    pipeline stays as it is, since later stages were made from it.
    """
    run = new.get("run")
    if isinstance(run, Mapping) and "inputs" in run:
        return False
    optim = run.get("optim") if isinstance(run, Mapping) else None
    told = optim if isinstance(optim, Mapping) else {}
    whole = told.get("schedule", "constant") != "constant" or told.get("warmup_share", 0)
    longer = _epochs(new) > _epochs(old) > 0
    return longer and not whole


def _epochs(description: Mapping[str, Any]) -> int:
    fit = description.get("fit")
    return int(fit.get("epochs", 0)) if isinstance(fit, Mapping) else 0


def _has_digest(description: Mapping[str, Any]) -> bool:
    run = description.get("run")
    return isinstance(run, Mapping) and "data_digest" in run


@contextmanager
def claim(workdir: Path, description: Mapping[str, Any]) -> Iterator[None]:
    """Hold `workdir` for this process and write its config.json.

    Raises:
        RunDirectoryError: another configuration was trained here, config.json cannot be read, or
            another process is training here now.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    lock = os.open(workdir / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(lock, workdir)
        path = workdir / "config.json"
        if path.exists():
            _check_file(path, description)
        atomic_write_text(path, json.dumps(description, indent=2) + "\n")
        yield
    finally:
        os.close(lock)


def _check_file(path: Path, description: Mapping[str, Any]) -> None:
    try:
        check_same(json.loads(path.read_text()), description, path.parent)
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(
            f"{path} cannot be read ({error}); if the directory holds a run of yours, remove "
            "this file alone: the checkpoints carry the configuration too"
        ) from error


def _lock(descriptor: int, workdir: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunDirectoryError(
            f"another process is training in {workdir}; wait for it or choose another directory"
        ) from None
    except OSError:
        # A file system without locks, as some network mounts are: train without the guard.
        return
