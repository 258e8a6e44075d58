"""Records of finished runs: every seed's figures, and the command and commit that gave them."""

import dataclasses
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.data.core.catalogue import Catalogue
from mmjax.data.io.files import atomic_write_text

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, if there is one; the folder of installed packages otherwise."""


_OLD_RULES = {"mmrec": "train", "mig_gt": "train+held_out", "seen": "history"}
"""Words of records of earlier versions, which call the rule "mask"."""


@dataclass(frozen=True)
class Record:
    """One method on one data set: metrics by split and name, one value per seed."""

    method: str
    data: str
    split: str
    exclude: str
    """Rule of what rankings leave out: train, train+held_out, history, none."""
    seeds: list[int]
    valid: dict[str, list[float]]
    test: dict[str, list[float]]
    best_epoch: list[int]
    epochs: list[int]
    seconds: float
    parameters: int
    config: dict[str, Any]
    command: str
    commit: str
    device: str
    versions: dict[str, str]
    seconds_per_epoch: float = 0.0
    """Median, without compilation, evaluation and saving; of a seed, or of all that were trained
    together."""
    step_mib: float = 0.0
    """Memory of the compiled training program beside its arguments and results."""

    def mean(self, metric: str, split: str = "test") -> float:
        """Mean over the seeds."""
        return float(np.mean(getattr(self, split)[metric]))

    def std(self, metric: str, split: str = "test") -> float:
        """Sample standard deviation over the seeds; 0 for one seed."""
        values = getattr(self, split)[metric]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def untrained(
    method: str, data: Catalogue, exclude: str, figures: Mapping[str, Mapping[str, float]]
) -> Record:
    """The record of a ranking without training; `figures` are metrics by split and name."""
    rounded = {
        split: {name: [round(value, 6)] for name, value in found.items()}
        for split, found in figures.items()
    }
    return Record(
        method=method,
        data=data.name,
        split=data.split,
        exclude=exclude,
        seeds=[],
        best_epoch=[],
        epochs=[],
        seconds=0.0,
        parameters=0,
        config={"data_digest": data.digest},
        valid=rounded.get("valid", {}),
        test=rounded.get("test", {}),
        **environment(),
    )


def load_record(path: Path) -> Record:
    """Read what `Record.save` wrote.

    Raises:
        ValueError: the file is not a record.
    """
    try:
        content = json.loads(path.read_text())
        if "mask" in content:
            old = content.pop("mask")
            content["exclude"] = _OLD_RULES.get(old, old)
        return Record(**content)
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a result record ({error}); remove it and run the command again"
        ) from error


def environment() -> dict[str, Any]:
    """Command, commit, device and versions of this process, as a record holds them."""
    import jax

    device = jax.devices()[0]
    kind = platform.machine() if device.platform == "cpu" else device.device_kind
    packages = ("jax", "flax", "optax", "numpy")
    return {
        "command": command(),
        "commit": commit(),
        "device": f"{jax.device_count()} x {device.platform} ({kind})",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
    }


def command() -> str:
    """The command line of this process, as it can be typed from the checkout's root."""
    script = Path(sys.argv[0])
    inside = script.is_absolute() and ROOT in script.parents
    module = script.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") if inside else ""
    start = f"python -m {module.removesuffix('.__main__')}" if module else f"python {script.name}"
    return " ".join([start, *map(shlex.quote, sys.argv[1:])])


def commit() -> str:
    """Commit of the checkout, marked when files differ from it; "unknown" outside git."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], **_QUIET).stdout.strip()
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], **_QUIET).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if dirty else head


_QUIET: dict[str, Any] = {"capture_output": True, "text": True, "check": True}
