"""Raw ratings or clicks from a delimited text file: cleaned, k-core, indexed, split.

Axes: e interactions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.sequences import Sequences, offsets_of, validate_sequences
from mmjax.data.core.splits import partition, split_labels, split_name
from mmjax.data.formats.events import Events, clean
from mmjax.data.io.readers import PathLike
from mmjax.data.io.tables import read_table


def load_ratings_csv(
    path: PathLike,
    *,
    user: str = "user",
    item: str = "item",
    rating: str | None = None,
    timestamp: str | None = None,
    delimiter: str = ",",
    columns: Sequence[str] | None = None,
    min_rating: float | None = None,
    k_core: int = 5,
    split: str = "mmrec",
    seed: int = 0,
    name: str | None = None,
) -> Interactions:
    """Read ratings and prepare them as MMRec prepares Amazon's (enoche/MMRec, `preprocessing`).

    Rows with an empty entry, or NaN as the rating, are dropped, then repeated (user, item,
    timestamp) rows, then users and items with fewer than `k_core` interactions until none is left;
    users and items are numbered in the order of first appearance. Where a user has an item several
    times, only the earliest counts (MMRec keeps all, which can put the same pair into train and
    test).

    Args:
        path: the file, UTF-8, plain or `.gz`.
        user, item: names of the columns of raw ids.
        rating: name of the rating column, if rows without a rating are to be dropped.
        timestamp: name of the time column; needed by the splits `leave-one-out`, `global-time`.
        delimiter: what separates the columns, one character or several.
        columns: names of all columns where the file has no header line.
        min_rating: drop ratings below this one.
        k_core: smallest number of interactions of a user and of an item; 0 or 1 keeps all.
        split, seed: see `mmjax.data.core.splits`.
        name: of the data set; default the name of the file.

    Raises:
        DataError: a column is missing, an entry is no number, nothing is left after cleaning, or
            the file is truncated or not UTF-8.
        FileNotFoundError: there is no such file.
        ValueError: no such split, or `min_rating` without `rating`.
    """
    table = _Table(path, user, item, rating, timestamp, delimiter, columns)
    events = _clean(table, min_rating, k_core, repeats=False)
    pairs = np.stack([events.user, events.item], axis=1).astype(np.int32)
    train, valid, test = partition(pairs, split_labels(split, events.user, events.time, seed=seed))
    return validate(
        Interactions(
            name=name or Path(path).name.split(".")[0],
            split=split_name(split, seed),
            n_users=len(events.user_ids),
            n_items=len(events.item_ids),
            train=train,
            valid=valid,
            test=test,
            user_ids=events.user_ids,
            item_ids=events.item_ids,
            source=str(path),
            provenance={"dropped": events.dropped},
        )
    )


def load_sequences_csv(
    path: PathLike,
    *,
    user: str = "user",
    item: str = "item",
    timestamp: str = "timestamp",
    rating: str | None = None,
    delimiter: str = ",",
    columns: Sequence[str] | None = None,
    min_rating: float | None = None,
    k_core: int = 5,
    repeats: bool = False,
    name: str | None = None,
) -> Sequences:
    """Read ratings or clicks with times as one sequence per user, cleaned as `load_ratings_csv`.

    Args:
        path: the file, UTF-8, plain or `.gz`.
        user, item, timestamp: names of the columns; rows of one user with equal times keep the
            order of the file.
        rating: name of the rating column, if rows without a rating are to be dropped.
        delimiter, columns, min_rating, k_core: see `load_ratings_csv`.
        repeats: keep every occurrence of an item; False keeps the earliest.
        name: of the data set; default the name of the file.

    Raises:
        DataError: as `load_ratings_csv`.
        FileNotFoundError: there is no such file.
        ValueError: `min_rating` without `rating`.
    """
    table = _Table(path, user, item, rating, timestamp, delimiter, columns)
    events = _clean(table, min_rating, k_core, repeats=repeats)
    assert events.time is not None
    order = np.lexsort((events.time, events.user))
    return validate_sequences(
        Sequences(
            name=name or Path(path).name.split(".")[0],
            n_users=len(events.user_ids),
            n_items=len(events.item_ids),
            items=events.item[order].astype(np.int32),
            offsets=offsets_of(np.bincount(events.user)),
            user_ids=events.user_ids,
            item_ids=events.item_ids,
            source=str(path),
            provenance={"dropped": events.dropped},
        )
    )


class _Table(NamedTuple):
    """A file of ratings and the names of its columns."""

    path: PathLike
    user: str
    item: str
    rating: str | None
    timestamp: str | None
    delimiter: str
    columns: Sequence[str] | None


def _clean(file: _Table, min_rating: float | None, k_core: int, *, repeats: bool) -> Events:
    if min_rating is not None and file.rating is None:
        raise ValueError("min_rating needs the name of the rating column")
    called = {"user": file.user, "item": file.item, "time": file.timestamp, "rating": file.rating}
    called = {role: column for role, column in called.items() if column is not None}
    types = {column: "float64" if role == "rating" else "string" for role, column in called.items()}
    table = read_table(
        file.path,
        types,
        delimiter=file.delimiter,
        names=file.columns,
        nulls=True,
        remedy="name the columns by the arguments user, item, rating and timestamp, and the "
        "delimiter; give columns if there is no header line",
    )
    return clean(
        {role: table[column] for role, column in called.items()},
        where=str(file.path),
        min_rating=min_rating,
        k_core=k_core,
        repeats=repeats,
        first_row=1 if file.columns else 2,
    )
