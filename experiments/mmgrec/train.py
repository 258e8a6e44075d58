"""The training command: all stages, table, records, page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.common.train import INTERRUPTED, saved
from experiments.mmgrec.config import MMGRec

if TYPE_CHECKING:
    from mmjax.data.core.interactions import Interactions
    from mmjax.training.records import Record
    from mmjax.training.seeds import Outcome
    from mmjax.viz.report import Sample


def train(config: MMGRec) -> int:
    """Run all stages, print the test table, write the record and `report.html`.

    Returns the exit status.
    """
    from experiments.common.problem import load_data
    from experiments.common.report import heuristic_records
    from experiments.mmgrec.run import run
    from experiments.mmgrec.stages import graph_run
    from mmjax.training.parallel import init
    from mmjax.training.signals import Interrupted
    from mmjax.viz import tables

    init()
    data = load_data(graph_run(config))
    print(f"{data}\n", flush=True)
    try:
        outcome = saved(run(config, data=data), config.workdir)
    except Interrupted as stop:
        print(stop, flush=True)
        return INTERRUPTED
    heuristics = heuristic_records(graph_run(config), data)
    table = searches_table(outcome.record, heuristics)
    print(f"\nTest, {data.name}, split {data.split}\n{tables.to_text(table)}")
    print(ids_line(outcome.record))
    if config.workdir is not None:
        path = write_page(config.workdir / "report.html", config, data, outcome, heuristics)
        print(f"report: {path}")
    return 0


def searches_table(record: "Record", others: "list[Record]") -> Any:
    """The searches of one run beside retrieval by its own vectors, and rankings without training.

    The released search leaves training items in and lets ids of no item count as misses.
    """
    from experiments.common.report import METRICS, record_row
    from mmjax.viz import tables

    prefixes = {name.rpartition("/")[0] for name in record.test if name.endswith("recall@10")}
    widths = sorted(int(p[4:]) for p in prefixes if p.startswith("beam"))
    names = {f"beam{w}": f"MMGRec, {w} beams" for w in widths}
    names |= {"official": "MMGRec, free and unfiltered", "graph": "its graph's vectors alone"}
    rows = []
    for prefix, name in names.items():
        values = {
            m: record.test[f"{prefix}/{m}"] for m in METRICS if f"{prefix}/{m}" in record.test
        }
        if values:
            rows.append(tables.Row(name, values, seeds=tuple(record.seeds)))
    return tables.leaderboard([*rows, *map(record_row, others)], METRICS)


def ids_line(record: "Record") -> str:
    """What is to say about the ids, as means over the seeds."""
    valid, test = record.valid, record.test
    parts = [f"ids of no item {np.mean(test['official/invalid']):.1%} of those written freely"]
    if "ids/collision_rate" in valid:
        used = [
            f"{np.mean(valid[f'level_{n}/utilisation']):.0%}"
            for n in range(1, 9)
            if f"level_{n}/utilisation" in valid
        ]
        parts.append(f"{np.mean(valid['ids/collision_rate']):.1%} of the codes collide")
        parts.append(f"used codes by level {', '.join(used)}")
    parts.append(f"{np.mean(valid['ids/popularity_tokens']):.0f} popularity tokens")
    return "; ".join(parts)


def write_page(
    path: Path,
    config: MMGRec,
    data: "Interactions",
    outcome: "Outcome",
    heuristics: "list[Record]",
) -> Path:
    """`report.html`: results, curves of the generator, recommendations, settings."""
    from experiments.common.report import METRICS, training_page

    notes = [
        f"MMGRec's row is a constrained search of {max(config.widths)} beams that leaves the "
        "user's training items out.",
        ids_line(outcome.record),
        "Epochs are selected on validation; test is scored once.",
    ]
    if config.smoke:
        notes.append("A smoke run: the figures mean nothing.")
    return training_page(
        path,
        outcome,
        [],
        heuristics,
        data=f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, "
        f"{len(data.train):,} training pairs",
        subtitle=data.source,
        metrics=METRICS,
        shown=("recall@20", "ndcg@20"),
        watched=config.generator.fit.metric,
        samples=samples(config, data),
        notes=notes,
    )


def samples(config: MMGRec, data: "Interactions") -> "list[Sample]":
    """What the first seed shows a few users."""
    from experiments.common.report import shown_to
    from experiments.mmgrec.recommend import found
    from experiments.mmgrec.run import load_trained

    assert config.workdir is not None
    trained = load_trained(config.workdir / f"seed_{config.seed}")

    def best(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return found(trained, data, users, k=10, include_seen=False)

    return shown_to(data, best)
