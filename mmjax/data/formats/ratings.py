"""Raw ratings or clicks from a delimited text file: cleaned, k-core, indexed, split.

Axes: e interactions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.sequences import Sequences, offsets_of, validate_sequences
from mmjax.data.core.splits import partition, split_labels, split_name
from mmjax.data.io.readers import PathLike, read_table

if TYPE_CHECKING:
    import pyarrow as pa


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

    Rows with an empty or NaN entry are dropped, then repeated (user, item, timestamp) rows, then
    users and items with fewer than `k_core` interactions until none is left; users and items are
    numbered in the order of first appearance. Where a user has an item several times, only
    the earliest counts (MMRec keeps all, which can put the same pair into train and test).

    Args:
        path: the file, UTF-8, plain or `.gz`.
        user, item: names of the columns of raw ids.
        rating: name of the rating column, if rows without a rating are to be dropped.
        timestamp: name of the time column; needed by the splits `leave-one-out`, `global-time`.
        delimiter: one character between the columns.
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


class _Events(NamedTuple):
    """Clean rows in the order of the file, ids numbered by first appearance."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray


def _clean(file: _Table, min_rating: float | None, k_core: int, *, repeats: bool) -> _Events:
    rating, timestamp = file.rating, file.timestamp
    if min_rating is not None and rating is None:
        raise ValueError("min_rating needs the name of the rating column")
    types = {file.user: "string", file.item: "string"}
    types |= {column: "float64" for column in (rating, timestamp) if column is not None}
    table = read_table(
        file.path,
        types,
        delimiter=file.delimiter,
        names=file.columns,
        nulls=True,
        remedy="name the columns by the arguments user, item, rating and timestamp, and the "
        "delimiter; give columns if there is no header line",
    )
    keep = np.ones(table.num_rows, bool)
    numbers = {}
    for column in (rating, timestamp):
        if column is not None:
            # Empty entries come out as NaN.
            numbers[column] = table[column].to_numpy()
            keep &= ~np.isnan(numbers[column])
    if min_rating is not None and rating is not None:
        keep &= numbers[rating] >= min_rating
    users, user_names = _encode(table[file.user])
    items, item_names = _encode(table[file.item])
    keep &= (users >= 0) & (items >= 0)
    rows = np.flatnonzero(keep)
    times = numbers[timestamp][rows] if timestamp is not None else None
    rows = rows[_earliest(users[rows], items[rows], times, repeats)]
    rows = rows[k_core_mask(users[rows], items[rows], k_core)]
    if not len(rows):
        raise DataError(
            f"{file.path}: none of {table.num_rows} rows is left after cleaning and the "
            f"{k_core}-core; choose a smaller k_core"
        )
    users, user_ids = _renumber(users[rows], user_names)
    items, item_ids = _renumber(items[rows], item_names)
    times = numbers[timestamp][rows] if timestamp is not None else None
    return _Events(users, items, times, user_ids, item_ids)


def k_core_mask(
    user: Int[np.ndarray, "e"], item: Int[np.ndarray, "e"], k: int
) -> Bool[np.ndarray, "e"]:
    """Mask of the interactions in the k-core: the largest part in which every user and every
    item has at least `k`. Ids are non-negative and reasonably dense.
    """
    kept = np.ones(len(user), bool)
    while True:
        users, items = np.bincount(user[kept]), np.bincount(item[kept])
        rows = np.flatnonzero(kept)
        poor = (users[user[rows]] < k) | (items[item[rows]] < k)
        if not poor.any():
            return kept
        kept[rows[poor]] = False


def _encode(column: "pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
    """Index by first appearance (-1 where there is no entry), and the names by index."""
    coded = column.combine_chunks().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=str)
    index = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    # What the makers of such files write for "not there".
    empty = np.isin(names, ["", "nan", "NaN", "NA", "null", "None"])
    if empty.any() and len(names):
        index[(index >= 0) & empty[index]] = -1
    return index, names


def _earliest(
    user: np.ndarray, item: np.ndarray, times: np.ndarray | None, repeats: bool
) -> np.ndarray:
    """Rows, in order, with one of each (user, item): the earliest, of equal times the first.

    With `repeats` and times one of each (user, item, time).
    """
    if not len(user):
        return np.arange(0)
    key = user * (int(item.max()) + 1) + item
    order = np.lexsort((key,)) if times is None else np.lexsort((times, key))
    first = np.r_[True, np.diff(key[order]) != 0]
    if repeats and times is not None:
        first |= np.r_[True, np.diff(times[order]) != 0]
    return np.sort(order[first])


def _renumber(ids: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids 0..n-1 in the order of first appearance, and the names in that order."""
    old, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(old), np.int64)
    rank[order] = np.arange(len(old))
    return rank[inverse], names[old[order]]
