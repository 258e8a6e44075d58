"""The page of a finished run on sequences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.methods import SEQUENCE_METHODS
from experiments.common.report import training_page
from experiments.common.sequences.config import METRICS, SequenceRun
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.training.records import Record
from mmjax.training.seeds import Outcome
from mmjax.viz import report


def samples(run: SequenceRun, data: Sequences, variables: dict[str, Any], n: int = 4) -> list:
    """What some users with long histories are shown before their test item."""
    windows = data.windows("test")
    rows = np.argsort(windows.start - windows.stop, kind="stable")[:n]
    chosen = Windows(*(x[rows] for x in windows))
    ids, scores = SEQUENCE_METHODS[run.method].top(run, data, variables, chosen, k=10)
    return [
        report.Sample(
            f"user {data.user_id(int(user))}",
            [data.item_title(int(i)) for i in data.items[start:stop]],
            [
                report.Pick(data.item_title(int(i)), float(s), int(i) == target)
                for i, s in zip(found, values, strict=True)
                if i >= 0
            ],
        )
        for user, start, stop, target, found, values in zip(
            *chosen, data.targets(chosen).tolist(), ids, scores, strict=True
        )
    ]


def write_page(
    path: Path,
    run: SequenceRun,
    data: Sequences,
    main: Outcome,
    others: Sequence[Outcome] = (),
    heuristics: Sequence[Record] = (),
) -> Path:
    """`report.html`: result table, curves, recommendations, configuration, environment."""
    seen = "items of the history are left out" if run.filter_seen else "those of the history too"
    smoke = ["A smoke run: the figures mean nothing."] if run.smoke else []
    return training_page(
        path,
        main,
        others,
        heuristics,
        data=f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, "
        f"{len(data.items):,} interactions",
        subtitle=data.source,
        metrics=METRICS,
        shown=("recall@10", "ndcg@10"),
        watched=run.fit.metric,
        samples=samples(run, data, main.variables[0]),
        notes=[
            f"Leave-one-out by time, one target a user. All items are ranked, {seen}.",
            "Epochs are selected on validation; test is scored once.",
            *smoke,
        ],
    )
