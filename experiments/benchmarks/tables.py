"""`python -m experiments.benchmarks tables`: the tables of README.md from the JSON in results/."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from experiments.common import readme
from mmjax.data.io.files import atomic_write_text

FOLDER = Path(__file__).resolve().parent


def load(name: str) -> dict[str, Any]:
    """One benchmark's record."""
    return json.loads((FOLDER / "results" / f"{name}.json").read_text())


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def propagation(graph: str, task: str) -> str:
    """Times and memory of one propagation on one graph."""
    record = load("propagation")["graphs"][graph]["tasks"][task]
    rows = [
        (
            row["name"],
            f"{row['median_ms']:.1f}",
            f"{row['speedup']:.2f}",
            (row["temporary"] or "").removesuffix(" temporary"),
        )
        for row in record["rows"]
    ]
    return markdown(("", "median ms", f"times {record['baseline']}", "temporary"), rows)


def evaluation() -> str:
    """Full ranking at the size of Sports."""
    record = load("evaluation")
    rows = [
        (
            name,
            f"{1000 * median(seconds):.0f}",
            f"{record['speed_up'][name]:.2f}",
            f"{record['peak_mib_over_data'][name]:.0f}",
        )
        for name, seconds in record["seconds"].items()
    ]
    return markdown(
        ("", "median ms", f"times {record['baseline']}", "peak MiB over the data"), rows
    )


def epoch() -> str:
    """A training epoch of MIG-GT at the size of Baby."""
    record = load("mig_gt_epoch")
    ratio = {"mmjax": 1.0, **record["median_ratio_to_mmjax"]}
    rows = [
        (
            name,
            f"{median(seconds):.2f}",
            f"{ratio[name]:.2f}",
            f"{record['peak_rss_mib'][name.partition(' ')[0]]:.0f}",
            f"{record['loss_of_last_epoch'][name]:.4f}",
        )
        for name, seconds in record["seconds"].items()
    ]
    return markdown(("", "median s", "mmjax is times as fast", "peak MiB", "loss at the end"), rows)


def recommenders() -> str:
    """Epochs of the bench's models."""
    record = load("recommenders")
    rows = []
    for name, model in record["models"].items():
        ours, theirs = (median(model["seconds"][f"{side} {name}"]) for side in ("mmjax", "torch"))
        steps = model["steps"]
        figures = (f"{steps / ours:.0f}", f"{steps / theirs:.0f}", f"{model['speed_up']:.2f}")
        rows.append((name, *figures, f"{record['seeds'][name]['speed_up']:.2f}"))
    head = ("", "mmjax steps/s", "PyTorch steps/s", "times PyTorch", "5 seeds together: times")
    return markdown(head, rows)


def fusion() -> str:
    """Item-specific fusion at MovieLens' size."""
    record = load("fusion")
    rows = [
        (
            row["name"],
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['forward_mib']:.0f}",
            f"{row['mib']:.0f}",
            f"{row['median_ms'] / 1e3:.2f}",
            f"{row['speedup']:.1f}",
        )
        for row in record["rows"]
    ]
    made = f"{record['weights_of_every_item_mib']:,.0f}"
    rows.append(("weights of every item (compiled, not run)", "", made, "", "", ""))
    head = ("", "weights", "MiB forward", "MiB with gradient", "median s", "times full tensor")
    return markdown(head, rows)


def decode(task: str) -> str:
    """Constrained beam search, or its constraint alone, by catalogue."""
    catalogues = load("decode")["catalogues"]
    figures: dict[str, list[str]] = {}
    for catalogue in catalogues.values():
        for row in catalogue[task]["rows"]:
            text = f"{row['median_ms']:.1f} ({row['speedup']:.1f})"
            figures.setdefault(row["name"], []).append(text)
    return markdown(("", *catalogues), [(name, *row) for name, row in figures.items()])


def latency() -> str:
    """A user's recommendation with and without a cache."""
    rows = []
    for model, batches in load("latency")["models"].items():
        for batch in batches:
            users = batch["users"]
            own = {row["name"]: row for row in batch["rows"]}
            times = (f"{own[name]['median_ms'] / users:.2f}" for name in ("cache", "no cache"))
            rows.append((f"{model}, {users}", *times, f"{own['cache']['speedup']:.1f}"))
    return markdown(("model, users at a time", "cache", "no cache", "times no cache"), rows)


def buckets() -> str:
    """A training step on histories with and without their padding."""
    record = load("buckets")
    steps = -(-record["windows"] // record["batch_size"])
    rows = []
    for name, case in record["cases"].items():
        own = {row["name"]: row for row in case}
        times = (f"{own[name]['median_ms'] / steps:.0f}" for name in ("buckets", "padded"))
        rows.append((name, *times, f"{own['buckets']['speedup']:.2f}"))
    return markdown(("", "buckets ms a step", "padded ms a step", "times padded"), rows)


def quantise() -> str:
    """A training step of a residual quantiser."""
    record = load("quantise")
    rows = []
    for name, step in record["steps"].items():
        ours, theirs = (1e3 * median(step["seconds"][f"{s} {name}"]) for s in ("mmjax", "torch"))
        rows.append((name, f"{ours:.1f}", f"{theirs:.1f}", f"{step['speed_up']:.1f}"))
    return markdown(("", "mmjax median ms", "ResidualVQ median ms", "times ResidualVQ"), rows)


def encoders() -> str:
    """Milliseconds a text or an image of pretrained encoders."""
    rows = []
    for name, case in load("encoders")["cases"].items():
        each = (
            f"{1e3 * median(case['seconds'][side]) / case['rows']:.1f}"
            for side in ("mmjax", "transformers")
        )
        rows.append((name, *each, f"{case['speed_up']['mmjax']:.2f}"))
    return markdown(("", "mmjax ms each", "transformers ms each", "times transformers"), rows)


def incdsi() -> str:
    """Milliseconds a new document, by documents that are there."""
    record = load("incdsi")
    rows = []
    for documents, case in record["documents"].items():
        each = (
            f"{1e3 * median(case['seconds'][side]) / record['new']:.1f}"
            for side in ("mmjax", "L-BFGS")
        )
        rows.append((f"{int(documents):,}", *each, f"{case['speed_up']['mmjax']:.2f}"))
    return markdown(("documents", "mmjax ms each", "L-BFGS ms each", "times L-BFGS"), rows)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    return {
        **{
            f"propagation-{graph}-{task}": propagation(graph, task)
            for graph in ("baby", "large")
            for task in ("constant", "learned")
        },
        "evaluation": evaluation(),
        "mig_gt_epoch": epoch(),
        "recommenders": recommenders(),
        "fusion": fusion(),
        "quantise": quantise(),
        "latency": latency(),
        "buckets": buckets(),
        "encoders": encoders(),
        "incdsi": incdsi(),
        **{f"decode-{task}": decode(task) for task in ("whole", "step")},
    }


def write_readme() -> Path:
    """Fill README.md."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    return path
