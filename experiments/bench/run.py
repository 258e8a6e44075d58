"""The bench: choose each method's settings on validation, train its seeds, test once, compare."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.bench import analysis
from experiments.bench.analysis import METRIC, leaderboard, progress, write_leaderboard
from experiments.bench.config import METHODS, SMOKE, Bench, chosen_fields, grid, preset
from experiments.common import readme
from experiments.common.comparison import runner_of
from experiments.common.config import Run
from experiments.common.experiment import smoke
from experiments.common.interactions import (
    build,
    evaluate_heuristics,
    load_data,
    require_splits,
)
from experiments.common.report import heuristic_records
from experiments.common.sweep import remove_checkpoints, trial
from mmjax.data.core.interactions import Interactions
from mmjax.data.io.files import atomic_write_text
from mmjax.errors import UserError, user_errors
from mmjax.training.records import Record, load_record
from mmjax.training.run_config import override
from mmjax.viz import tables as viz


def train(flags: Bench) -> str:
    """Bring every method to a record on every data set; the leaderboards as text.

    Raises:
        UserError: no such method or field, or bad data.
        Interrupted: SIGTERM or SIGINT came; the same command resumes.
    """
    if unknown := [m for m in flags.models if m not in METHODS]:
        raise UserError(f"--models {' '.join(unknown)}: choose from {', '.join(METHODS)}")
    with user_errors():
        for method in flags.models:
            for name in flags.data:
                settings(flags, method, name)
    lines = []
    for name in flags.data:
        with user_errors():
            data = load_data(settings(flags, flags.models[0], name))
        require_splits(data, "the bench", "valid", "test")
        board, left_out = bench(flags, name, data)
        lines.append(f"\nTest, {data.name}\n{viz.to_text(board)}")
        lines += [f"left out: {method}, {why}" for method, why in left_out.items()]
        lines.append(f"picture: {flags.workdir / data.name / 'leaderboard.png'}")
    return "\n".join(lines)


def bench(flags: Bench, name: str, data: Interactions) -> tuple[viz.Table, dict[str, str]]:
    """The leaderboard of one data set, written, and why methods are not on it.

    Prints each method as it is done. What cannot be built on the data, such as a method that reads
    attributes where there are none, is found out before anything is trained; the others go on.

    Raises:
        UserError: no method can be built on the data, or all failed.
        Interrupted: SIGTERM or SIGINT came.
    """
    print(f"{data}\n", flush=True)
    folder, records = flags.workdir / data.name, []
    left_out = unfit(flags, name, data)
    for method, why in left_out.items():
        print(f"left out: {method}, {why}", flush=True)
    for method in (m for m in flags.models if m not in left_out):
        try:
            records.append(method_record(flags, method, name, data, folder / method))
        except UserError as error:
            # Its own fault, such as a loss that diverged, costs the others nothing.
            left_out[method] = str(error)
            print(f"left out: {method}, {error}", flush=True)
            continue
        print(progress(records[-1]), flush=True)
    if not records:
        raise UserError(f"{data.name}: no method ran ({'; '.join(left_out.values())})")
    protocol = settings(flags, flags.models[0], name)
    for record in heuristic_records(protocol, data, evaluate_heuristics(protocol, data)):
        record.save(folder / record.method / "record.json")
        records.append(record)
    board = leaderboard(records, flags.reference)
    write_leaderboard(folder, board)
    return board, left_out


def unfit(flags: Bench, name: str, data: Interactions) -> dict[str, str]:
    """The methods that cannot be built on the data, and why."""
    found = {}
    for method in flags.models:
        try:
            with user_errors():
                build(settings(flags, method, name), data)
        except UserError as error:
            found[method] = str(error)
    return found


def settings(flags: Bench, method: str, data: str, point: Mapping[str, Any] | None = None) -> Run:
    """A method's preset, then a point of its grid, then what the flags set.

    Raises:
        ValueError: no such method or field.
    """
    run = override(preset(method, data, flags.preset), point or {})
    if flags.smoke:
        run = smoke(run, SMOKE)
    run = dataclasses.replace(
        run,
        fit=dataclasses.replace(run.fit, devices=flags.devices, quiet=True, tensorboard=False),
        smoke=flags.smoke,
        seed=flags.seed,
        together=flags.together,
        data_dir=flags.data_dir,
        manual_dir=flags.manual_dir,
    )
    return override(run, chosen_fields(flags, method))


def choose(flags: Bench, method: str, name: str, data: Interactions, folder: Path) -> Run:
    """The settings of the point of the method's grid that is best on validation.

    `grid.json` in the folder holds every point with its figure.
    """
    points = list(grid(method))
    if not flags.grid or len(points) == 1:
        return settings(flags, method, name, points[0])
    rows = []
    for point in points:
        run = settings(flags, method, name, point)
        row = trial(run, data, folder, METRIC)
        rows.append({"set": dict(point), **row})
    atomic_write_text(folder / "grid.json", json.dumps(rows, indent=1) + "\n")
    best = max(rows, key=lambda row: row[METRIC])
    return settings(flags, method, name, best["set"])


def method_record(flags: Bench, method: str, name: str, data: Interactions, folder: Path) -> Record:
    """A method's record on one data set; made once, then read."""
    chosen = choose(flags, method, name, data, folder)
    run = dataclasses.replace(chosen, seeds=flags.seeds)
    run = dataclasses.replace(run, workdir=folder / run.digest())
    path = folder / run.digest() / "record.json"
    if not path.exists():
        runner_of(method)(run, data=data).record.save(path)
        remove_checkpoints(path.parent)
    return load_record(path)


def tables() -> Path:
    """Fill README.md, and draw a bar chart a data set beside the records."""
    analysis.draw_leaderboards()
    return readme.fill(analysis.FOLDER, analysis.bodies())
