"""From raw rows to numbered events: cleaned, counted, k-core.  Axes: e rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from mmjax.data.core.checks import DataError
from mmjax.data.io.times import parse_times

if TYPE_CHECKING:
    import pyarrow as pa


class Events(NamedTuple):
    """Clean rows in the order of the source, ids numbered by first appearance."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    dropped: Mapping[str, int]
    """Rows that were left out, by reason; reasons without a row are not named."""


def clean(
    columns: Mapping[str, "pa.ChunkedArray"],
    *,
    where: str,
    min_rating: float | None = None,
    k_core: int = 0,
    repeats: bool = False,
    first_row: int = 2,
) -> Events:
    """Rows with a user, an item and what else is asked for, each pair once, in the k-core.

    Args:
        columns: "user" and "item", strings; perhaps "rating", numbers, and "time".
        where: the file, for errors.
        min_rating: drop ratings below this one.
        k_core: smallest number of interactions of a user and of an item; 0 or 1 keeps all.
        repeats: keep every occurrence of a pair at another time; False keeps the earliest.
        first_row: number of the first row as a person counts.

    Raises:
        DataError: a time is none, or nothing is left; says what was dropped, and why.
    """
    rows, dropped = len(columns["user"]), {}
    users, user_names = encode(columns["user"])
    items, item_names = encode(columns["item"])
    kept = np.ones(rows, bool)

    def drop(reason: str, bad: np.ndarray) -> None:
        count = int((bad & kept).sum())
        if count:
            dropped[reason] = count
        np.logical_and(kept, ~bad, out=kept)

    drop("no user", users < 0)
    drop("no item", items < 0)
    if "rating" in columns:
        ratings = columns["rating"].cast("float64").to_numpy()
        drop("no rating", np.isnan(ratings))
        if min_rating is not None:
            drop(f"a rating below {min_rating:g}", ~(ratings >= min_rating))
    times = None
    if "time" in columns:
        times, there = parse_times(columns["time"], where=where, first_row=first_row)
        drop("no time", ~there)
    index = np.flatnonzero(kept)
    once = _earliest(users[index], items[index], None if times is None else times[index], repeats)
    drop("a repeated pair", ~np.isin(np.arange(rows), index[once]))
    index = np.flatnonzero(kept)
    core = k_core_mask(users[index], items[index], k_core)
    drop(f"outside the {k_core}-core", ~np.isin(np.arange(rows), index[core]))
    index = np.flatnonzero(kept)
    if not len(index):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"{where}: none of {rows} rows is left after cleaning and the {k_core}-core "
            f"({reasons}); {_remedy(dropped, k_core)}"
        )
    user, user_ids = _renumber(users[index], user_names)
    item, item_ids = _renumber(items[index], item_names)
    return Events(user, item, None if times is None else times[index], user_ids, item_ids, dropped)


def _remedy(dropped: Mapping[str, int], k_core: int) -> str:
    core = f"outside the {k_core}-core"
    if core in dropped:
        return "choose a smaller k_core (--k-core), such as 0, which keeps all"
    return "name the right columns, or fill them in"


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


def encode(column: "pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
    """Index by first appearance (-1 where there is no entry), and the names by index.

    Only an empty entry is none: "NA", "null" and "nan" are ids, as of countries and people.
    """
    coded = column.combine_chunks().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=str)
    index = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = names == ""
    if empty.any():
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
