"""The tables of README.md, from results/."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments.common import readme
from experiments.meta_mmf.claim import table
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import load_record
from mmjax.viz import tables
from mmjax.viz.significance import paired_t

FOLDER = Path(__file__).resolve().parent


def depth_table(curve: list[dict[str, Any]]) -> str:
    """Recall@10 of cold items by form and number of layers; bold where it differs from static."""
    forms = list(dict.fromkeys(point["form"] for point in curve))
    depths = sorted({point["depth"] for point in curve})
    found = {(point["form"], point["depth"]): point["recall@10"] for point in curve}

    def cell(form: str, n: int) -> str:
        values = found[form, n]
        text = f"{mean(values):.3f} ± {stdev(values):.3f}"
        differs = form != forms[0] and paired_t(values, found[forms[0], n]).p < 0.05
        return f"**{text}**" if differs else text

    lines = [["fusion", *(f"{n} layer{'s' * (n > 1)}" for n in depths)]]
    lines += [["---", *["---:"] * len(depths)]]
    lines += [[form, *(cell(form, n) for n in depths)] for form in forms]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    results = FOLDER / "results"
    found = {
        folder.name: tables.to_markdown(
            table({path.stem: load_record(path) for path in folder.glob("*.json")})
        )
        for folder in sorted(results.iterdir())
        if folder.is_dir()
    }
    return {
        **found,
        "depth": depth_table(json.loads((results / "depth.json").read_text())["curve"]),
    }


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
