"""The tables of README.md, from results/: of each data set ``mmgrec.json``, and the ablation's
records in ``forms``."""

import dataclasses
from pathlib import Path

from experiments.benchmarks import growth
from experiments.common import readme
from experiments.common.report import METRICS, record_row
from experiments.mmgrec import ablate
from experiments.mmgrec.train import searches_table
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record
from mmjax.viz import tables

FOLDER = Path(__file__).resolve().parent
BENCH = FOLDER.parent / "bench" / "results"


def beside_the_bench(record: Record, folder: Path) -> tables.Table:
    """MMGRec and the recommenders of the bench on the same data, split and mask, best first.

    Raises:
        ValueError: a record of the bench is of another split.
    """
    others = [load_record(path) for path in sorted(folder.glob("*.json"))]
    for other in others:
        if (other.data, other.split, other.mask) != (record.data, record.split, record.mask):
            raise ValueError(f"{folder}: {other.method} was measured on another split than MMGRec")
    ordered = sorted([record, *others], key=lambda r: -r.mean("recall@20"))
    rows = [
        dataclasses.replace(record_row(r), note="" if r.seeds else "no training") for r in ordered
    ]
    return tables.leaderboard(rows, METRICS)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    results, found = FOLDER / "results", {}
    for folder in sorted(p for p in results.iterdir() if p.is_dir()):
        forms = {path.stem: load_record(path) for path in sorted(folder.glob("forms/*.json"))}
        if forms:
            found[f"{folder.name}_forms"] = tables.to_markdown(ablate.table(forms))
        if (folder / "mmgrec.json").exists():
            record = load_record(folder / "mmgrec.json")
            found[f"{folder.name}_searches"] = tables.to_markdown(searches_table(record, []))
            bench = beside_the_bench(record, BENCH / folder.name)
            found[f"{folder.name}_bench"] = tables.to_markdown(bench)
    if (results / "cost.json").exists():
        found["cost"] = growth.table(growth.load(results / "cost.json")["rows"])
    return found


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
