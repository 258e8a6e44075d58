"""The tables of README.md, from the records in results/."""

from pathlib import Path

from experiments.common import readme
from experiments.prompt_dsi.presets import METHODS
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record

FOLDER = Path(__file__).resolve().parent
TITLES = {
    "topic": "PromptDSI, topics",
    "l2p": "PromptDSI, L2P",
    "s++": "PromptDSI, S-Prompt++",
    "coda": "PromptDSI, CODA",
    "classifier": "new rows alone",
    "incdsi": "IncDSI",
    "finetune": "sequential fine-tuning",
    "ewc": "EWC",
    "replay": "replay",
    "joint": "joint training",
}
COLUMNS = {
    "hits@10/A": "A",
    "hits@10/F": "F",
    "hits@10/LA": "LA",
    "hits@10/D0": "D0",
    "hits@10/D0_lost": "lost on D0",
    "hits@10/new": "new",
    "mrr@10/A": "MRR A",
    "mrr@10/F": "MRR F",
    "pool/share": "pool used",
    "intrusion": "intrusion",
    "seconds/stage": "s a stage",
}


def records(folder: Path = FOLDER / "results") -> dict[str, dict[str, Record]]:
    """Records by data set (a folder of `results`) and by row (its file name)."""
    return {
        place.name: {path.stem: load_record(path) for path in sorted(place.glob("*.json"))}
        for place in sorted(folder.glob("*"))
        if place.is_dir()
    }


PLAIN = ("pool/", "seconds/", "norm_ratio")
"""Beginnings of the names of figures that are not shown in percent."""


def factor(name: str) -> float:
    """100 for figures that are shown in percent, else 1."""
    return 1.0 if name.startswith(PLAIN) else 100.0


def cell(record: Record, name: str) -> str:
    """Mean and deviation of a figure; empty where it was not measured."""
    if name not in record.test:
        return ""
    digits, by = 2 if name.startswith("pool") else 1, factor(name)
    mean = f"{by * record.mean(name):.{digits}f}"
    return f"{mean} ± {by * record.std(name):.{digits}f}" if len(record.seeds) > 1 else mean


def table(rows: dict[str, Record]) -> str:
    """Markdown: a method a row, in the order of `METHODS`; variants follow their method."""
    if not rows:
        return "No run is recorded.\n"
    ordered = sorted(rows.items(), key=lambda item: (METHODS.index(item[1].method), item[0]))
    lines = [
        "| method | " + " | ".join(COLUMNS.values()) + " | seeds |",
        "|---|" + "---:|" * (len(COLUMNS) + 1),
    ]
    for stem, record in ordered:
        name = TITLES[record.method]
        if stem != record.method:
            name += f" ({stem.removeprefix(record.method).strip('-').replace('_', ' ')})"
        cells = [cell(record, column) for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {len(record.seeds)} |")
    return "\n".join(lines) + "\n"


def claims(rows: dict[str, Record]) -> str:
    """Markdown: what the paper says, and whether the figures of Hits@10 agree; "" if runs lack."""

    def figure(method: str, name: str) -> float | None:
        record = rows.get(method)
        return (
            None if record is None or name not in record.test else factor(name) * record.mean(name)
        )

    def minus(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    lost, new, used = "hits@10/D0_lost", "hits@10/new", "pool/share"
    gaps = {
        "PromptDSI loses less than 5 points on D0": (figure("topic", lost), lambda x: x < 5),
        "sequential fine-tuning loses more than 30": (figure("finetune", lost), lambda x: x > 30),
        "PromptDSI over IncDSI on new corpora, points": (
            minus(figure("topic", new), figure("incdsi", new)),
            lambda x: x > 0,
        ),
        "PromptDSI over new rows alone on new corpora, points (3 or more)": (
            minus(figure("topic", new), figure("classifier", new)),
            lambda x: x >= 3,
        ),
        "share of the pool that topics use (over 0.6)": (figure("topic", used), lambda x: x > 0.6),
        "share of the pool, topics over learned keys": (
            minus(figure("topic", used), figure("l2p", used)),
            lambda x: x > 0,
        ),
        "seconds a stage, two passes over one (up to 2)": (
            None
            if "topic-two_pass" not in rows or "topic" not in rows
            else rows["topic-two_pass"].mean("seconds/epoch") / rows["topic"].mean("seconds/epoch"),
            lambda x: x > 1,
        ),
    }
    lines = ["| claim | measured | holds |", "|---|---:|---|"]
    for name, (value, holds) in gaps.items():
        if value is not None:
            lines.append(f"| {name} | {value:.2f} | {'yes' if holds(value) else 'no'} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No run is recorded.\n"


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    found = {"topic_documents": table({}), "topic_documents_claims": claims({})}
    for name, rows in records().items():
        found[name], found[f"{name}_claims"] = table(rows), claims(rows)
    return found


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
