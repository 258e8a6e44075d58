"""A recommender beside its baselines: trained, tabled and laid down under one protocol."""

import functools
from collections.abc import Callable
from pathlib import Path

from experiments.common import invrl
from experiments.common.baselines import baseline
from experiments.common.config import SMOKE, Run
from experiments.common.interactions import evaluate_heuristics, load_data, run_method, top
from experiments.common.report import heuristic_records, result_table, write_page
from mmjax.errors import user_errors
from mmjax.training.parallel import init
from mmjax.training.seeds import RunResult
from mmjax.viz import tables

Preset = Callable[..., Run]
"""From the keyword arguments method, data and kind to settings."""
Runner = Callable[..., RunResult]
"""From settings, data and whether to test to a result, as `interactions.run_method`."""
_STAGED: dict[str, Runner] = {"invrl": invrl.run}


def runner_of(method: str) -> Runner:
    """What trains `method` to its end: `interactions.run_method`, or its own of several stages."""
    return _STAGED.get(method, run_method)


def train(run: Run, preset: Preset) -> None:
    """Run `run` and its baselines, print the test table, write records and `report.html`.

    Args:
        run: the settings.
        preset: the settings of any method on any data, for the baselines.

    Raises:
        UserError, Interrupted: see `run_method`.
    """
    init()
    with user_errors():
        data = load_data(run)
        print(f"{data}\n", flush=True)
        runs = [run, *(baseline(run, name, preset, SMOKE) for name in run.baselines)]
    results = [saved(runner_of(r.method)(r, data=data), r.workdir) for r in runs]
    found = heuristic_records(run, data, evaluate_heuristics(run, data))
    if len(data.test):
        table = tables.to_text(result_table([*(r.record for r in results), *found]))
        print(f"\nTest, {data.name}, split {data.split}, left out: {run.exclude}\n{table}")
    else:
        print(f"\n{data.name}: no rows for test (x_label 2): nothing is tested")
    if run.workdir is not None:
        for record in found:
            record.save(run.workdir / "baselines" / record.method / "record.json")
        best = functools.partial(top, run, data, results[0].variables[0])
        path = write_page(run.workdir / "report.html", run, data, results, found, best)
        print(f"report: {path}")


def saved(result: RunResult, workdir: Path | None) -> RunResult:
    """The result, its record kept in the run's folder if it has one."""
    if workdir is not None:
        result.record.save(workdir / "record.json")
    return result
