"""The tables of README.md, from the records in results/ and the published figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.common import readme
from experiments.common.methods import title
from experiments.common.report import record_row
from experiments.common.sequences.config import METRICS
from experiments.tiger.presets import DATA
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record
from mmjax.viz import tables

FOLDER = Path(__file__).resolve().parent
PUBLISHED = {
    # Table 1 of TIGER (arXiv 2305.05065): Recall@5, NDCG@5, Recall@10, NDCG@10.
    "amazon_beauty": {
        "sasrec": (0.0387, 0.0249, 0.0605, 0.0318),
        "tiger": (0.0454, 0.0321, 0.0648, 0.0384),
    },
    "amazon_toys": {
        "sasrec": (0.0463, 0.0306, 0.0675, 0.0374),
        "tiger": (0.0521, 0.0371, 0.0712, 0.0432),
    },
}

_NEW = "-new"
"""What the name of a table ends with whose rows leave out what a user has met."""


def records(folder: Path = FOLDER / "results") -> dict[str, dict[str, Record]]:
    """Records by data set (a folder of `results`) and by row (its file name)."""
    return {
        name: {path.stem: load_record(path) for path in sorted((folder / name).glob("*.json"))}
        for name in DATA
        if name in PUBLISHED
    }


def table(
    published: Mapping[str, Sequence[float]], rows: Mapping[str, Record], *, mask: str
) -> tables.Table:
    """What is published of a data set, and what was measured here with `mask`, best last."""
    paper = {
        method: tables.Row(title(method), paper=dict(zip(METRICS, figures, strict=True)))
        for method, figures in published.items()
    }
    shown = []
    for stem, record in sorted(rows.items(), key=lambda item: -item[1].mean("recall@10")):
        if record.mask != mask:
            continue
        beside = paper.pop(record.method).paper if record.method in paper else {}
        row = record_row(record, {k: float(v) for k, v in beside.items()}, METRICS)
        variant = stem.partition("-")[2].replace("_", " ")
        name = f"{row.name}, {variant}" if variant else row.name
        shown.append(dataclasses.replace(row, name=name))
    return tables.leaderboard([*shown, *paper.values()], METRICS)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    found = {}
    for name, rows in records().items():
        found[name] = tables.to_markdown(table(PUBLISHED[name], rows, mask="none"))
        if any(record.mask == "seen" for record in rows.values()):
            # S3-Rec's code, from which TIGER has this figure, leaves out what a user has met.
            beside = {"sasrec": PUBLISHED[name]["sasrec"]}
            found[name + _NEW] = tables.to_markdown(table(beside, rows, mask="seen"))
    return found


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
