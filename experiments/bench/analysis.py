"""The leaderboards of the bench, and the tables of README.md."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from experiments.benchmarks import tables as speed
from experiments.common import readme
from experiments.common.report import METRICS, record_row
from mmjax.data.io.files import atomic_write_text
from mmjax.models.registry import title
from mmjax.training.records import Record
from mmjax.viz import tables
from mmjax.viz.bars import bars
from mmjax.viz.files import save

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
METRIC = "recall@20"
"""Validation metric that selects, and the one by which tables are ordered."""


def leaderboard(records: Sequence[Record], reference: str = "") -> tables.Table:
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


def progress(record: Record) -> str:
    """One line on a finished method."""
    return (
        f"{record.method:12s} test {METRIC} {record.mean(METRIC):.4f} +- {record.std(METRIC):.4f}"
        f"  valid {record.mean(METRIC, 'valid'):.4f}  {record.seconds:.0f} s"
    )


def write_leaderboard(folder: Path, board: tables.Table) -> None:
    """The leaderboard as text, picture and CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "leaderboard.txt", tables.to_text(board))
    save(bars(board, METRIC), folder / "leaderboard.png", tables.table_rows(board))


def records() -> dict[str, list[Record]]:
    """The published records by data set."""
    return {name: list(rows.values()) for name, rows in readme.records(RESULTS).items()}


def costs() -> str:
    """What an epoch costs on a machine that does nothing else."""
    rows = [
        (
            title(method),
            f"{median(found['seconds']):.2f}",
            f"{found['parameters'] / 1e6:.2f} M",
            f"{found['mib']:.0f}",
        )
        for method, found in sorted(
            speed.load("epochs")["methods"].items(), key=lambda item: median(item[1]["seconds"])
        )
    ]
    return speed.markdown(("method", "s/epoch", "parameters", "MiB"), rows)


def bodies() -> dict[str, str]:
    """Every leaderboard by its data set, and the costs."""
    boards = {name: tables.to_markdown(leaderboard(rows)) for name, rows in records().items()}
    return {**boards, "costs": costs()}


def draw_leaderboards() -> None:
    """A bar chart a data set, beside the records."""
    for name, rows in records().items():
        board = leaderboard(rows)
        save(bars(board, METRIC), RESULTS / f"{name}.png", tables.table_rows(board))
