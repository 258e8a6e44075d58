"""The page and the tables of a finished run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common.config import Run
from mmjax.data.core.interactions import Interactions
from mmjax.models.registry import title as method_title
from mmjax.training.records import Record, untrained
from mmjax.training.seeds import RunResult
from mmjax.viz import curves, report, tables
from mmjax.viz.bars import bars

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def heuristic_records(
    run: Run, data: Interactions, figures: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[Record]:
    """Records of rankings without training, from their metrics by name, split and metric."""
    return [untrained(name, data, run.exclude, found) for name, found in figures.items()]


def record_row(
    record: Record,
    paper: Mapping[str, float] | None = None,
    metrics: Sequence[str] = METRICS,
) -> tables.Row:
    """A record's test figures as a row of a leaderboard."""
    values = {m: record.test[m] for m in metrics if m in record.test}
    name = method_title(record.method)
    note = "" if record.seeds else "no training"
    return tables.Row(name, values, seeds=tuple(record.seeds), paper=paper or {}, note=note)


def result_table(records: Sequence[Record], metrics: Sequence[str] = METRICS) -> tables.Table:
    """Test figures of several runs under one protocol."""
    return tables.leaderboard([record_row(r, metrics=metrics) for r in records], metrics)


Retrieve = Callable[[np.ndarray], tuple[Any, Any]]
"""Items and scores ``[n, 10]`` for users by number, best first; -1 is no item."""


def samples(data: Interactions, retrieve: Retrieve, n: int = 4) -> list[report.Sample]:
    """Recommendations to the users with most test items, and which of them are among these."""
    held_out = np.bincount(data.test[:, 0], minlength=data.n_users)
    users = np.argsort(-held_out, kind="stable")[:n]
    hits = {(int(u), int(i)) for u, i in data.test}
    return [
        report.Sample(
            f"user {data.user_id(int(user))}",
            [data.item_title(int(i)) for i in data.train[data.train[:, 0] == user, 1]],
            [
                report.Pick(data.item_title(int(i)), float(s), (int(user), int(i)) in hits)
                for i, s in zip(row, values, strict=True)
                if i >= 0
            ],
        )
        for user, row, values in zip(users, *map(np.asarray, retrieve(users)), strict=True)
    ]


def write_page(
    path: Path,
    run: Run,
    data: Interactions,
    results: Sequence[RunResult],
    heuristics: Sequence[Record],
    retrieve: Retrieve,
) -> Path:
    """`report.html`: result table, curves, recommendations, configuration, environment.

    Args:
        path: the file.
        run: the settings of the first result.
        data: the data set.
        results: the run's own, then its baselines'.
        heuristics: rankings without training.
        retrieve: of the trained method.
    """
    return training_page(
        path,
        results,
        heuristics,
        Page(
            data=f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, "
            f"{len(data.train):,} training pairs",
            subtitle=data.source,
            metrics=METRICS,
            shown=("recall@20", "ndcg@20"),
            selecting=run.fit.metric,
            samples=samples(data, retrieve),
            notes=_notes(run),
        ),
    )


class Page(NamedTuple):
    """The parts of a training's page that depend on the kind of data."""

    data: str
    """One line on the data set."""
    subtitle: str
    """Below the title."""
    metrics: Sequence[str]
    """Columns of the result table."""
    shown: Sequence[str]
    """Metrics of the head; the first one is drawn."""
    selecting: str
    """The metric that selects on validation."""
    samples: list[report.Sample]
    """Recommendations to a few users."""
    notes: list[str]
    """Below the table."""


def training_page(
    path: Path, results: Sequence[RunResult], heuristics: Sequence[Record], page: Page
) -> Path:
    """The page of a finished training.

    Args:
        path: the file.
        results: what was run, then what was trained under the same protocol beside it.
        heuristics: rankings without training.
        page: the rest.
    """
    main, *others = results
    record = main.record
    shown = [m for m in page.shown if m in record.test]
    table = result_table([*(r.record for r in results), *heuristics], page.metrics)
    histories = {method_title(o.record.method): o.history for o in results}
    pictures = [
        report.Picture(curves.curves(main.history, "loss"), "Training loss"),
    ]
    if record.valid:
        by_seed = {name: _by_seed(history) for name, history in histories.items()}
        caption = f"Validation {page.selecting}; selection looks at nothing else"
        pictures.append(report.Picture(curves.compare(by_seed, page.selecting), caption))
    if shown:
        caption = f"Test {shown[0].capitalize()}, scored once per seed"
        pictures.append(report.Picture(bars(table, shown[0]), caption))
    sections = [
        report.summary(
            model=method_title(record.method),
            data=page.data,
            split=record.split,
            seeds=record.seeds,
            device=record.device,
            command=record.command,
            commit=record.commit,
            wall_seconds=record.seconds,
            numbers={f"test {m}": record.mean(m) for m in shown},
            mask=record.exclude,
            parameters=f"{record.parameters:,}",
            best_epoch=", ".join(map(str, record.best_epoch)),
            stopped_because=", ".join(main.stopped_because),
        ),
        *([report.results(table, caption="Test split", notes=page.notes)] if shown else []),
        report.figures("Training", pictures),
        report.recommendations(page.samples),
        report.configuration(record.config),
        report.environment(device=record.device),
    ]
    title = f"{method_title(record.method)} on {record.data}"
    return report.write_report(path, title, *sections, subtitle=page.subtitle)


def _by_seed(history: Sequence[Mapping[str, Any]]) -> list:
    return list(curves.by_seed(history).values())


def _notes(run: Run) -> list[str]:
    rule = {
        "train": "Full ranking of all items; training items of the user are left out "
        "(MMRec's protocol).",
        "train+held_out": "Full ranking; training items and the other held-out split are left out "
        "(the protocol of MIG-GT's code, which flatters against MMRec's tables).",
    }[run.exclude]
    smoke = ["A smoke run: the figures mean nothing."] if run.smoke else []
    return [rule, "Epochs are selected on validation; test is scored once.", *smoke]
