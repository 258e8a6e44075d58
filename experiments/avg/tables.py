"""The tables of README.md, from results/: a folder a data set, in it a record a row."""

from pathlib import Path

from experiments.benchmarks import growth
from experiments.common import readme
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record

FOLDER = Path(__file__).resolve().parent
ROWS = {
    "two_tower": "two towers",
    "quantised": "two towers, images as their vokens stand for them",
    "avg_generative": "AVG, generative stage",
    "avg_ranking": "AVG, both stages",
}
VARIANTS = {"residual_kmeans": "vokens by residual k-means", "random": "random vokens"}
COLUMNS = ("recall@1", "recall@5", "recall@10", "recall_code@10", "collisions")
HEADS = ("Recall@1", "Recall@5", "Recall@10", "by code @10", "collisions")


def title(stem: str) -> str:
    """Name of a row by its file, a method or ``method-variant``.

    Raises:
        ValueError: no row is called so.
    """
    method, _, variant = stem.partition("-")
    if method not in ROWS or (variant and variant not in VARIANTS):
        raise ValueError(f"{stem}.json in results/: name it METHOD or METHOD-VARIANT")
    return ROWS[method] + (f", {VARIANTS[variant]}" if variant else "")


def cell(record: Record, name: str) -> str:
    """Mean and deviation in percent; empty where it was not measured."""
    if name not in record.test:
        return ""
    mean = f"{100 * record.mean(name):.1f}"
    return f"{mean} ± {100 * record.std(name):.1f}" if len(record.seeds) > 1 else mean


def table(records: dict[str, Record]) -> str:
    """Markdown: a line a record, variants below the whole."""
    order = list(ROWS)
    ordered = sorted(records, key=lambda stem: ("-" in stem, stem.partition("-")[2]))
    ordered.sort(key=lambda stem: ("-" in stem, order.index(stem.partition("-")[0])))
    head = ["method", *HEADS, "parameters", "seeds"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for stem in ordered:
        record = records[stem]
        size = f"{record.parameters / 1e6:.2f} M" if record.parameters else ""
        figures = [cell(record, name) for name in COLUMNS]
        lines.append([title(stem), *figures, size, str(len(record.seeds))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    results, found = FOLDER / "results", {}
    for folder in sorted(p for p in results.iterdir() if p.is_dir()):
        found[folder.name] = table({p.stem: load_record(p) for p in sorted(folder.glob("*.json"))})
    if (results / "cost.json").exists():
        found["cost"] = growth.table(growth.load(results / "cost.json")["rows"], unit="images")
    return found


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
