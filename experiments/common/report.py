"""The page and the tables of a finished run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common.config import Run
from experiments.common.evaluation import ranker
from experiments.common.heuristics import applicable
from experiments.common.methods import title as method_title
from experiments.common.problem import build_model
from experiments.common.recommend import seen_rows
from experiments.common.results import Record, untrained
from experiments.common.seeds import Outcome
from mmjax.data.core.interactions import Interactions
from mmjax.retriever import exclusion, given_vectors, index_of
from mmjax.viz import curves, report, tables
from mmjax.viz.bars import bars

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def heuristic_records(run: Run, data: Interactions) -> list[Record]:
    """The rankings without training on both splits."""
    retriever = given_vectors(data.n_items)
    score = {split: ranker(run, data, split, retriever) for split in ("valid", "test")}
    found = []
    for name, build in applicable(data).items():
        vectors = build(data)
        figures = {split: rank(vectors).mean for split, rank in score.items()}
        found.append(untrained(name, data, run.mask, figures))
    return found


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


Best = Callable[[np.ndarray], tuple[Any, Any]]
"""Items and scores ``[n, 10]`` for users by number, best first; -1 is no item."""


def samples(run: Run, data: Interactions, variables: dict[str, Any]) -> list[report.Sample]:
    """What a few users are shown, from the first seed."""
    retriever = build_model(run, data).retriever
    index = index_of(retriever, variables)

    def best(users: np.ndarray) -> tuple[Any, Any]:
        seen = exclusion(seen_rows(data, users))
        return retriever.retrieve(index, jnp.asarray(users), seen, k=10)

    return shown_to(data, best)


def shown_to(data: Interactions, best: Best, n: int = 4) -> list[report.Sample]:
    """What `best` finds for the users with most test items, and which of it is among these."""
    held = np.bincount(data.test[:, 0], minlength=data.n_users)
    users = np.argsort(-held, kind="stable")[:n]
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
        for user, row, values in zip(users, *map(np.asarray, best(users)), strict=True)
    ]


def write_page(
    path: Path,
    run: Run,
    data: Interactions,
    main: Outcome,
    others: Sequence[Outcome] = (),
    heuristics: Sequence[Record] = (),
) -> Path:
    """`report.html`: result table, curves, recommendations, configuration, environment."""
    return training_page(
        path,
        main,
        others,
        heuristics,
        data=f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, "
        f"{len(data.train):,} training pairs",
        subtitle=data.source,
        metrics=METRICS,
        shown=("recall@20", "ndcg@20"),
        watched=run.fit.metric,
        samples=samples(run, data, main.variables[0]),
        notes=_notes(run),
    )


def training_page(
    path: Path,
    main: Outcome,
    others: Sequence[Outcome],
    heuristics: Sequence[Record],
    *,
    data: str,
    subtitle: str,
    metrics: Sequence[str],
    shown: Sequence[str],
    watched: str,
    samples: list[report.Sample],
    notes: list[str],
) -> Path:
    """The page of a finished training.

    Args:
        path: the file.
        main: what was run.
        others: trained under the same protocol.
        heuristics: rankings without training.
        data: one line on the data set.
        subtitle: below the title.
        metrics: columns of the result table.
        shown: metrics of the head; the first one is drawn.
        watched: the metric that selects on validation.
        samples: what a few users are shown.
        notes: below the table.
    """
    record = main.record
    table = result_table([record, *(o.record for o in others), *heuristics], metrics)
    histories = {method_title(o.record.method): o.history for o in (main, *others)}
    pictures = [
        report.Picture(curves.curves(main.history, "loss"), "Training loss"),
        report.Picture(
            curves.compare(
                {name: _by_seed(history) for name, history in histories.items()}, watched
            ),
            f"Validation {watched}; selection looks at nothing else",
        ),
        report.Picture(
            bars(table, shown[0]), f"Test {shown[0].capitalize()}, scored once per seed"
        ),
    ]
    page = [
        report.summary(
            model=method_title(record.method),
            data=data,
            split=record.split,
            seeds=record.seeds,
            device=record.device,
            command=record.command,
            commit=record.commit,
            wall_seconds=record.seconds,
            numbers={f"test {m}": record.mean(m) for m in shown},
            mask=record.mask,
            parameters=f"{record.parameters:,}",
            best_epoch=", ".join(map(str, record.best_epoch)),
            stopped_because=", ".join(main.stopped_because),
        ),
        report.results(table, caption="Test split", notes=notes),
        report.figures("Training", pictures),
        report.recommendations(samples),
        report.configuration(record.config),
        report.environment(device=record.device),
    ]
    title = f"{method_title(record.method)} on {record.data}"
    return report.write_report(path, title, *page, subtitle=subtitle)


def _by_seed(history: Sequence[Mapping[str, Any]]) -> list:
    return list(curves.by_seed(history).values())


def _notes(run: Run) -> list[str]:
    mask = {
        "mmrec": "Full ranking of all items; training items of the user are left out "
        "(MMRec's protocol).",
        "mig_gt": "Full ranking; training items and the other held-out split are left out "
        "(the authors' protocol, which flatters against MMRec's tables).",
    }[run.mask]
    smoke = ["A smoke run: the figures mean nothing."] if run.smoke else []
    return [mask, "Epochs are selected on validation; test is scored once.", *smoke]
