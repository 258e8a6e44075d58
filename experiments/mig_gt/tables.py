"""The tables and pictures of README.md, from the records in results/."""

import dataclasses
from pathlib import Path

from experiments.common import readme
from experiments.common.report import METRICS, record_row
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record
from mmjax.viz import tables
from mmjax.viz.bars import bars
from mmjax.viz.files import save

FOLDER = Path(__file__).resolve().parent
PUBLISHED = {
    # MMRec's leaderboard (enoche/MMRec), Baby, split `mmrec`.
    ("light_gcn", "amazon_baby"): dict(zip(METRICS, (0.0479, 0.0754, 0.0257, 0.0328), strict=True)),
    ("bpr_mf", "amazon_baby"): dict(zip(METRICS, (0.0357, 0.0575, 0.0192, 0.0249), strict=True)),
    # Table 1 of DiffMM (arXiv 2406.11781), TikTok, whose split is ours.
    ("light_gcn", "tiktok"): {"recall@20": 0.0653, "ndcg@20": 0.0282},
    ("bpr_mf", "tiktok"): {"recall@20": 0.0346, "ndcg@20": 0.0130},
}


def records(folder: Path = FOLDER / "results") -> dict[str, dict[str, Record]]:
    """Records by table (a folder of `results`) and by row (its file name)."""
    return {
        table.name: {path.stem: load_record(path) for path in sorted(table.glob("*.json"))}
        for table in sorted(folder.iterdir())
        if table.is_dir()
    }


def table(rows: dict[str, Record]) -> tables.Table:
    """A leaderboard; a row whose name goes on after the method ("mig_gt-paper") says so."""
    shown = []
    for stem, record in sorted(rows.items(), key=lambda item: -item[1].mean("recall@20")):
        paper = PUBLISHED.get((record.method, record.data), {})
        row = record_row(record, paper)
        variant = stem.removeprefix(record.method).strip("-").replace("_", " ")
        name = f"{row.name} ({variant})" if variant else row.name
        shown.append(dataclasses.replace(row, name=name, note=_note(record)))
    return tables.leaderboard(shown, METRICS)


def _note(record: Record) -> str:
    if not record.seeds:
        return "no training"
    minutes = record.seconds / 60 / len(record.seeds)
    return f"{len(record.seeds)} seeds, {minutes:.1f} min a seed"


def filled(text: str) -> str:
    """`text` with its tables made anew.

    Raises:
        ValueError: a marker has no records or no end.
    """
    bodies = {name: tables.to_markdown(table(rows)) for name, rows in records().items()}
    return readme.filled(text, bodies)


def write_readme() -> Path:
    """Fill README.md and draw a bar chart per table beside the records."""
    path = FOLDER / "README.md"
    atomic_write_text(path, filled(path.read_text()))
    for name, rows in records().items():
        board = table(rows)
        save(bars(board, "recall@20"), FOLDER / "results" / f"{name}.png", tables.table_rows(board))
    return path
