"""Text features of items by a published encoder, and the tables of README.md."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.common.readme import records
from experiments.common.report import record_row
from experiments.common.sequences import METRICS
from experiments.tiger.config import Features
from mmjax.data import Sequences, load
from mmjax.data.io.files import atomic_path
from mmjax.errors import UserError, user_errors
from mmjax.models.registry import title
from mmjax.training.records import Record
from mmjax.viz import tables

FOLDER = Path(__file__).resolve().parent
PUBLISHED = {
    # Table 1 of TIGER (arXiv 2305.05065): Recall@5, NDCG@5, Recall@10, NDCG@10.
    "amazon_beauty": {
        "sasrec": (0.0387, 0.0249, 0.0605, 0.0318),
        "tiger": (0.0454, 0.0321, 0.0648, 0.0384),
    },
    "amazon_toys": {
        "sasrec": (0.0463, 0.0306, 0.0675, 0.0374),
        "tiger": (0.0521, 0.0371, 0.0712, 0.0432),
    },
}

_NEW = "-new"
"""What the name of a table ends with whose rows leave out what a user has met."""


def table(
    published: Mapping[str, Sequence[float]], rows: Mapping[str, Record], *, exclude: str
) -> tables.Table:
    """What is published of a data set, and what was measured here under `exclude`, best last."""
    paper = {
        method: tables.Row(title(method), paper=dict(zip(METRICS, figures, strict=True)))
        for method, figures in published.items()
    }
    shown = []
    for stem, record in sorted(rows.items(), key=lambda item: -item[1].mean("recall@10")):
        if record.exclude != exclude:
            continue
        beside = paper.pop(record.method).paper if record.method in paper else {}
        row = record_row(record, {k: float(v) for k, v in beside.items()}, METRICS)
        variant = stem.partition("-")[2].replace("_", " ")
        name = f"{row.name}, {variant}" if variant else row.name
        shown.append(dataclasses.replace(row, name=name))
    return tables.leaderboard([*shown, *paper.values()], METRICS)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    measured, found = records(FOLDER / "results"), {}
    for name, published in PUBLISHED.items():
        rows = measured.get(name, {})
        found[name] = tables.to_markdown(table(published, rows, exclude="none"))
        if any(record.exclude == "history" for record in rows.values()):
            # S3-Rec's code, from which TIGER has this figure, leaves out what a user has met.
            beside = {"sasrec": published["sasrec"]}
            found[name + _NEW] = tables.to_markdown(table(beside, rows, exclude="history"))
    return found


def texts(data: Sequences) -> list[str]:
    """``title | category, category, ...`` of every item.

    Raises:
        UserError: the data set has no titles or no tags.
    """
    if data.titles is None or data.item_tags is None:
        raise UserError(f"{data.name} has no titles or no tags: no texts to encode")
    pairs = zip(data.titles, data.item_tags, strict=True)
    return [f"{title} | {tags.replace(',', ', ')}" if tags else str(title) for title, tags in pairs]


def features(flags: Features) -> str:
    """Encode title and categories of a data set's items, float16 ``[i, m]`` in their order.

    The result is what `mmjax.data.sets.amazon_beauty.prepare` takes as TEXT. Needs the extra
    ``text``.

    Raises:
        UserError: the file is no .npy, the data set has no texts, or the encoder cannot be read.
    """
    if flags.out.suffix != ".npy":
        raise UserError(f"--out must end in .npy, got {flags.out}")
    from mmjax.encoders.text.encoder import load_text_encoder

    with user_errors():
        read = texts(load(flags.data, kind="sequences"))
        encoder = load_text_encoder(flags.model)
    vectors = encoder.encode(read, batch_size=flags.batch_size)
    with atomic_path(flags.out) as temporary:
        np.save(temporary, vectors.astype(np.float16))
    return f"{flags.out}: {vectors.shape[0]:,} items, width {vectors.shape[1]}"
