"""Choose each method's settings on validation, train its seeds, test once, compare."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from experiments.bench.config import Bench
from experiments.bench.presets import grid, preset
from experiments.common.config import Run, override, parse_assignment
from experiments.common.methods import METHODS
from experiments.common.problem import load_data
from experiments.common.report import METRICS, heuristic_records, record_row
from experiments.common.sweep import remove_checkpoints, trial
from mmjax.data.core.interactions import Interactions
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record
from mmjax.viz import tables
from mmjax.viz.bars import bars
from mmjax.viz.files import save

METRIC = "recall@20"


def base_run(flags: Bench, method: str, data: str) -> Run:
    """A method's preset with what the flags fix.

    Raises:
        ValueError: no such method or field.
    """
    fixed = {}
    for text in flags.fixed:
        name, values = parse_assignment(text)
        fixed[name] = values[0] if len(values) == 1 else tuple(values)
    start = preset(method, data)
    fit = dataclasses.replace(start.fit, devices=flags.devices, quiet=True, tensorboard=False)
    return override(
        dataclasses.replace(
            start,
            fit=fit,
            smoke=flags.smoke,
            together=flags.together,
            data_dir=flags.data_dir,
            manual_dir=flags.manual_dir,
        ),
        fixed,
    )


def choose(flags: Bench, start: Run, data: Interactions, folder: Path) -> dict[str, Any]:
    """The point of the method's grid that is best on validation with seed 0.

    `grid.json` in the folder holds every point with its figure.
    """
    points = list(grid(start.method))
    if not flags.grid or len(points) == 1:
        return dict(points[0])
    rows = [
        {"set": dict(p), **trial(override(start, dict(p)), data, folder, METRIC)} for p in points
    ]
    atomic_write_text(folder / "grid.json", json.dumps(rows, indent=1) + "\n")
    return max(rows, key=lambda row: row[METRIC])["set"]


def run_method(flags: Bench, method: str, data: Interactions, name: str, folder: Path) -> Record:
    """A method's record on one data set; made once, then read."""
    start = base_run(flags, method, name)
    run = override(start, choose(flags, start, data, folder))
    run = dataclasses.replace(run, seeds=flags.seeds)
    place = folder / run.digest()
    path = place / "record.json"
    if not path.exists():
        placed = dataclasses.replace(run, workdir=place)
        METHODS[method].run(placed, data=data).record.save(path)
        remove_checkpoints(place)
    return load_record(path)


def bench(flags: Bench) -> dict[str, tables.Table]:
    """The leaderboard of every data set; prints each method as it is done."""
    found = {}
    for name in flags.data:
        data = load_data(base_run(flags, flags.models[0], name))
        folder = flags.workdir / data.name
        print(f"{data}\n", flush=True)
        records = []
        for method in flags.models:
            records.append(run_method(flags, method, data, name, folder / method))
            print(progress(records[-1]), flush=True)
        for record in heuristic_records(base_run(flags, flags.models[0], name), data):
            record.save(folder / record.method / "record.json")
            records.append(record)
        found[data.name] = leaderboard(records, flags.reference)
        write(folder, found[data.name])
    return found


def progress(record: Record) -> str:
    """One line on a finished method."""
    return (
        f"{record.method:12s} test {METRIC} {record.mean(METRIC):.4f} +- {record.std(METRIC):.4f}"
        f"  valid {record.mean(METRIC, 'valid'):.4f}  {record.seconds:.0f} s"
    )


def leaderboard(records: list[Record], reference: str = "") -> tables.Table:
    """Methods by test Recall@20, tested against one of them over the seeds they share.

    Args:
        records: of one data set.
        reference: method that the others are tested against; none names the best one.
    """
    ordered = sorted(records, key=lambda r: -r.mean(METRIC))
    rows = {r.method: dataclasses.replace(record_row(r), note=note(r)) for r in ordered}
    trained = [r.method for r in ordered if r.seeds]
    anchor = rows[reference or trained[0]].name
    return tables.leaderboard(list(rows.values()), METRICS, reference=anchor)


def note(record: Record) -> str:
    """What training cost."""
    if not record.seeds:
        return "no training"
    minutes = record.seconds / 60 / len(record.seeds)
    return f"{minutes:.1f} min a seed, {record.parameters / 1e6:.2f} M parameters"


def write(folder: Path, table: tables.Table) -> None:
    """The leaderboard as text, picture and CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "leaderboard.txt", tables.to_text(table))
    save(bars(table, METRIC), folder / "leaderboard.png", tables.table_rows(table))
