"""The training command: run, baselines, table, page."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from experiments.common.config import Run
from experiments.common.sequences.config import SequenceRun

if TYPE_CHECKING:
    from experiments.common.seeds import Outcome

RunT = TypeVar("RunT", Run, SequenceRun)
INTERRUPTED = 143
"""Exit status after a signal; the same command resumes."""


def train(run: Run, preset: Callable[..., Run]) -> int:
    """Run `run` and its baselines, print the test table, write records and `report.html`.

    Returns the exit status.
    """
    from experiments.common.problem import load_data, shrink
    from experiments.common.report import heuristic_records, result_table, write_page
    from experiments.common.run import run as run_one
    from experiments.common.seeds import Interrupted
    from mmjax.training.parallel import init
    from mmjax.viz import tables

    init()
    data = load_data(run)
    print(f"{data}\n", flush=True)
    runs = [run, *(baseline(run, name, preset) for name in run.baselines)]
    try:
        outcomes = [saved(run_one(config, data=data), config.workdir) for config in runs]
    except Interrupted as stop:
        print(stop, flush=True)
        return INTERRUPTED
    heuristics = heuristic_records(run, data)
    table = result_table([*(o.record for o in outcomes), *heuristics])
    print(
        f"\nTest, {data.name}, split {data.split}, excluded {run.exclude}\n{tables.to_text(table)}"
    )
    if run.workdir is not None:
        shown = shrink(run) if run.smoke else run
        for record in heuristics:
            record.save(run.workdir / "baselines" / record.method / "record.json")
        page = run.workdir / "report.html"
        path = write_page(page, shown, data, outcomes[0], outcomes[1:], heuristics)
        print(f"report: {path}")
    return 0


def saved(outcome: "Outcome", workdir: Path | None) -> "Outcome":
    """The outcome, its record kept in the run's folder if it has one."""
    if workdir is not None:
        outcome.record.save(workdir / "record.json")
    return outcome


SAME = ("exclude", "ks", "dtype", "smoke", "seed", "seeds", "together", "data_dir", "manual_dir")
"""Flags that a baseline takes over."""


def baseline(
    run: RunT, method: str, preset: Callable[..., RunT], same: Sequence[str] = SAME
) -> RunT:
    """`method` with its own preset, under the data, protocol, seeds and devices of `run`."""
    own = preset(method, run.data, run.preset)
    execution = ("devices", "mode", "quiet", "tensorboard")
    fit = dataclasses.replace(own.fit, **{n: getattr(run.fit, n) for n in execution})
    return dataclasses.replace(
        own,
        fit=fit,
        workdir=run.workdir and run.workdir / "baselines" / method,
        **{n: getattr(run, n) for n in same},
    )
