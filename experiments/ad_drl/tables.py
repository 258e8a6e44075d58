"""The table of README.md, from the curves in results/."""

import csv
from pathlib import Path

from experiments.common import readme
from mmjax.data.io.files import atomic_write_text

FOLDER = Path(__file__).resolve().parent
WEIGHTS = (0.0, 1.0, 8.0)
CURVES = {"with the losses": "control.csv", "without": "control_without.csv"}


def shares(path: Path) -> dict[str, dict[float, float]]:
    """By attribute and weight, the share of the preferred value that `control` wrote."""
    found: dict[str, dict[float, float]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["metric"] == "share":
                found.setdefault(row["run"], {})[float(row["weight"])] = float(row["mean"])
    return found


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    curves = {name: shares(FOLDER / "results" / file) for name, file in CURVES.items()}
    head = [f"{name}, weight {w:g}" for name in curves for w in WEIGHTS]
    lines = [["attribute", *head], ["---", *["---:"] * len(head)]]
    for attribute in next(iter(curves.values())):
        cells = [f"{curve[attribute][w]:.3f}" for curve in curves.values() for w in WEIGHTS]
        lines.append([attribute, *(cell.removeprefix("0") for cell in cells)])
    return {"control": "".join(f"| {' | '.join(line)} |\n" for line in lines)}


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
