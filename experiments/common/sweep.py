"""Grid or random search on validation; the test split is touched by the winner alone."""

import dataclasses
import itertools
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.config import SMOKE, Run, fixed_fields, parse_assignment
from experiments.common.experiment import smoke
from mmjax.data.io.files import atomic_write_text
from mmjax.errors import user_errors
from mmjax.training.run_config import override

if TYPE_CHECKING:
    from mmjax.data.core.interactions import Interactions


@dataclass(frozen=True)
class Sweep:
    """Flags of the `sweep` command."""

    workdir: Path
    """Folder of the sweep; the same command on it goes on where it stopped."""
    grid: tuple[str, ...]
    """Fields and their values, such as optim.learning_rate=1e-3,1e-2 model.hops=[2,1],[1,1]."""
    method: str = "mig_gt"
    """Method whose preset is the starting point."""
    data: str = "lastfm_2k"
    """Data set."""
    fixed: tuple[str, ...] = ()
    """Fields set the same in all trials, in the same form."""
    trials: int = 0
    """Random trials out of the grid; 0 runs all of it."""
    seed: int = 0
    """Seed of the choice of trials and of every trial."""
    seeds: int = 1
    """Seeds per trial; the mean over them selects."""
    metric: str = "recall@20"
    """Validation metric that selects."""
    keep_checkpoints: bool = False
    """Keep the checkpoints of finished trials."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


def assignments(flags: Sweep) -> list[dict[str, Any]]:
    """The trials of a sweep, in the order in which they run.

    Raises:
        ValueError: a field is given twice or a text is not field=value,...
    """
    fields = [parse_assignment(text) for text in flags.grid]
    if len({name for name, _ in fields}) < len(fields):
        raise ValueError(f"a field occurs twice in --grid {' '.join(flags.grid)}")
    names = [name for name, _ in fields]
    points = [dict(zip(names, p, strict=True)) for p in itertools.product(*(v for _, v in fields))]
    if 0 < flags.trials < len(points):
        points = random.Random(flags.seed).sample(points, flags.trials)
    return points


def base_run(flags: Sweep, preset: Callable[..., Run]) -> Run:
    """The run that the trials start from.

    Raises:
        ValueError: unknown method or field.
    """
    start = dataclasses.replace(
        preset(method=flags.method, data=flags.data, kind="tuned"),
        seed=flags.seed,
        seeds=flags.seeds,
        data_dir=flags.data_dir,
        manual_dir=flags.manual_dir,
    )
    fixed = fixed_fields(flags.fixed)
    if fixed.get("smoke"):
        start = smoke(start, SMOKE)
    return override(start, fixed)


def sweep(flags: Sweep, preset: Callable[..., Run]) -> list[dict[str, Any]]:
    """Run or resume all trials; rows of changed fields and validation metric, best first.

    Every finished trial is a file, so that a sweep killed at any point goes on by the same
    command. `sweep.json` in the workdir holds the rows.

    Args:
        flags: grid and start.
        preset: settings by method, data and kind.

    Raises:
        UserError: an unknown method or field, or bad data.
    """
    from experiments.common.interactions import load_data, require_splits

    with user_errors():
        start, points = base_run(flags, preset), assignments(flags)
        data = load_data(start)
        require_splits(data, "a sweep", "valid")
        runs = [override(start, point) for point in points]
    rows = []
    for n, (point, run) in enumerate(zip(points, runs, strict=True)):
        row = trial(run, data, flags.workdir, flags.metric, keep=flags.keep_checkpoints)
        rows.append({"set": point, **row})
        print(f"trial {n + 1} of {len(points)}: {rows[-1]}", flush=True)
        _write(flags, rows, len(points))
    return _write(flags, rows, len(points))


def best_rows(rows: list[dict[str, Any]], metric: str, n: int = 10) -> str:
    """The first rows of a sweep as text."""
    lines = [f"  {row[metric]:.4f} +- {row['std']:.4f}  {row['set']}" for row in rows[:n]]
    return "\n".join(["", "best on validation:", *lines])


def trial(
    run: Run,
    data: "Interactions",
    workdir: Path,
    metric: str,
    *,
    keep: bool = False,
) -> dict[str, Any]:
    """Train `run` in a folder of its own below `workdir`, unless that was done; its row.

    The test split is not touched. Checkpoints are removed afterwards unless `keep` is set.
    """
    from experiments.common.comparison import runner_of
    from mmjax.training.records import load_record

    folder = workdir / "trials" / run.digest()
    path = folder / "record.json"
    if not path.exists():
        placed = dataclasses.replace(run, workdir=folder)
        runner_of(run.method)(placed, data=data, test=False).record.save(path)
        if not keep:
            remove_checkpoints(folder)
    record = load_record(path)
    return {
        metric: round(record.mean(metric, "valid"), 5),
        "std": round(record.std(metric, "valid"), 5),
        "best_epoch": record.best_epoch,
        "seconds": record.seconds,
        "trial": folder.name,
    }


def remove_checkpoints(folder: Path) -> None:
    """Free the disk of what a finished run needs no more."""
    for checkpoints in folder.rglob("checkpoints"):
        shutil.rmtree(checkpoints)


def _write(flags: Sweep, rows: list[dict[str, Any]], total: int) -> list[dict[str, Any]]:
    ordered = sorted(rows, key=lambda row: -row[flags.metric])
    summary = {
        "method": flags.method,
        "data": flags.data,
        "grid": list(flags.grid),
        "fixed": list(flags.fixed),
        "metric": f"validation {flags.metric}",
        "trials": f"{len(rows)} of {total}",
        "rows": ordered,
    }
    atomic_write_text(flags.workdir / "sweep.json", json.dumps(summary, indent=1) + "\n")
    return ordered
