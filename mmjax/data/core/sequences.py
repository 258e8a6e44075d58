"""Users' items in the order of time, for models of what comes next; arrays, never files.

The split is leave-one-out by time: a user's last item is the test target, the one before it the
validation target. Of two items there is no validation target, of one item no test target either.

Axes: e items of all users, one user after the other; u users, i items, n windows, t positions.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from mmjax.data.core.catalogue import Catalogue, read_only, validate_catalogue
from mmjax.data.core.checks import DataError, check_ids
from mmjax.data.core.interactions import SPLITS, Interactions
from mmjax.data.core.splits import leave_one_out_sizes

LEAVE_ONE_OUT = "leave-one-out"


class Windows(NamedTuple):
    """Histories, each with the item that follows it, as places in the flat array of all items.

    Window n is ``items[start[n]:stop[n]]``, oldest first, and its target ``items[stop[n]]``. The
    item after any earlier one of the history stands next to it too, so that the same window also
    serves models that predict at every position.
    """

    user: Int32[np.ndarray, "n"]
    start: Int64[np.ndarray, "n"]
    stop: Int64[np.ndarray, "n"]


class Padded(NamedTuple):
    """Windows as rows of one length."""

    items: Int32[np.ndarray, "n t"]
    """Oldest first; 0 where `where` is False."""
    where: Bool[np.ndarray, "n t"]
    """True in the places that hold an item."""
    target: Int32[np.ndarray, "n"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sequences(Catalogue):
    """The history of each user, oldest first, and what is known about the items.

    All arrays are read-only. Construction checks nothing about the content: see
    `validate_sequences`. An item may occur several times in a history.

    Attributes:
        items: item ids, int32 ``[e]``.
        offsets: user u's items are ``items[offsets[u]:offsets[u + 1]]``, int64 ``[u + 1]``.
    """

    split: str = LEAVE_ONE_OUT
    items: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("items", "offsets"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __repr__(self) -> str:
        return (
            f"Sequences({self.name}, split {self.split}: {self.n_users:,} users, "
            f"{self.n_items:,} items, {len(self.items):,} interactions, "
            f"features: {self.widths()})"
        )

    def events(self) -> dict[str, np.ndarray]:
        """The items and where each user's begin."""
        return {"items": self.items, "offsets": self.offsets}

    @property
    def lengths(self) -> Int64[np.ndarray, "u"]:
        """Number of items of each user."""
        return np.diff(self.offsets)

    def of_user(self, user: int) -> Int32[np.ndarray, "_"]:
        """The items of a user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def windows(self, split: str, max_length: int | None = None) -> Windows:
        """One window per user: what came before the target of `split`, and that target.

        The target of "train" is the last item before the two that are held out. Users without
        such a target, or with nothing before it, have no window.

        Args:
            split: "train", "valid" or "test".
            max_length: only the latest so many items of a history; None keeps all.

        Raises:
            ValueError: no such split, or `max_length` is below 1.
        """
        place, has = self._target(split)
        user = np.flatnonzero(has & (place > 0))
        return _cut(self.offsets, user, place[user], max_length)

    def histories(self, split: str, max_length: int | None = None) -> Windows:
        """The history before the target of `split`, one window for every user, empty ones included.

        As `windows`, but row u is user u. Of a user without that target it is all that may be
        known at that time, and what `targets` says of it means nothing.
        """
        place, _ = self._target(split)
        return _cut(self.offsets, np.arange(self.n_users), place, max_length)

    def prefixes(self, max_length: int | None = None) -> Windows:
        """A window for every train item but the first of its user: all beginnings of a sequence.

        The augmentation of TIGER, GRID and S3-Rec. Windows come by user, shortest first.

        Raises:
            ValueError: `max_length` is below 1.
        """
        count = np.maximum(leave_one_out_sizes(self.lengths)[0] - 1, 0)
        user = np.repeat(np.arange(self.n_users), count)
        place = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count) + 1
        return _cut(self.offsets, user, place, max_length)

    def targets(self, windows: Windows) -> Int32[np.ndarray, "n"]:
        """The item that follows each window."""
        return self.items[windows.stop]

    def padded(
        self, windows: Windows, length: int, *, align: Literal["right", "left"] = "right"
    ) -> Padded:
        """Windows as rows of `length`, of which a longer one keeps its latest items.

        Args:
            windows: of this data set.
            length: positions of a row.
            align: "right" puts the latest item at the end of the row, "left" the oldest at its
                beginning.

        Raises:
            ValueError: `length` is below 1, or no such alignment.
        """
        if length < 1 or align not in ("right", "left"):
            raise ValueError(
                f"padded: length {length}, align {align!r}; give a length of 1 or more and "
                "'right' or 'left'"
            )
        start = np.maximum(windows.start, windows.stop - length)
        first = windows.stop - length if align == "right" else start
        place = first[:, None] + np.arange(length)[None]
        where = (place >= start[:, None]) & (place < windows.stop[:, None])
        return Padded(
            np.where(where, self.items[np.where(where, place, 0)], 0).astype(np.int32),
            where,
            self.targets(windows),
        )

    def pairs(self, windows: Windows) -> Int32[np.ndarray, "_ 2"]:
        """(row of `windows`, item) of all items of the windows, in order; pairs may repeat."""
        row = np.repeat(np.arange(len(windows.stop)), windows.stop - windows.start)
        items = self.items[_ranges(windows.start, windows.stop)]
        return np.stack([row.astype(np.int32), items], 1)

    def train_pairs(self) -> Int32[np.ndarray, "_ 2"]:
        """Every (user, item) of training, in order; pairs may repeat."""
        return self.pairs(Windows(np.arange(self.n_users, dtype=np.int32), *self._parts()[0]))

    def excluded(self, split: str) -> Int32[np.ndarray, "_ 2"]:
        """(user, item) pairs that ranking leaves out when "valid" or "test" is evaluated.

        All that precedes the target; pairs may repeat.

        Raises:
            ValueError: no such split to evaluate.
        """
        if split not in SPLITS[1:]:
            raise ValueError(f"split {split!r} is not evaluated; choose valid or test")
        return self.pairs(self.histories(split))

    def held_out(self, split: str) -> Int32[np.ndarray, "_ 2"]:
        """(user, item) of the targets of "valid" or "test" that have a history.

        Raises:
            ValueError: no such split to evaluate.
        """
        if split not in SPLITS[1:]:
            raise ValueError(f"split {split!r} is not evaluated; choose valid or test")
        windows = self.windows(split)
        return np.stack([windows.user, self.targets(windows)], 1)

    def latest(self, n: int) -> "Sequences":
        """The same with only the latest `n` items of each user (IISAN, MicroLens: 13).

        Raises:
            ValueError: `n` is below 1.
        """
        if n < 1:
            raise ValueError(f"latest: n = {n}; it must be 1 or more")
        stop = self.offsets[1:]
        index = _ranges(np.maximum(self.offsets[:-1], stop - n), stop)
        lengths = np.minimum(self.lengths, n)
        return dataclasses.replace(self, items=self.items[index], offsets=offsets_of(lengths))

    def to_interactions(self) -> Interactions:
        """The same data set as pairs, split leave-one-out, the rows of a user in order of time.

        Where an item occurs several times only the earliest counts, as for
        `load_ratings_csv`: a pair that is in training cannot be a target too.
        """
        user = np.repeat(np.arange(self.n_users), self.lengths)
        key = user * np.int64(self.n_items) + self.items
        keep = np.sort(np.unique(key, return_index=True)[1])
        lengths = np.bincount(user[keep], minlength=self.n_users)
        once = dataclasses.replace(self, items=self.items[keep], offsets=offsets_of(lengths))
        users = np.arange(self.n_users, dtype=np.int32)
        parts = [once.pairs(Windows(users, *bounds)) for bounds in once._parts()]
        return Interactions(**self.columns(), **dict(zip(SPLITS, parts, strict=True)))

    def _target(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Number of items of each user before the target of `split`, and whether there is one."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        train, valid, test = leave_one_out_sizes(self.lengths)
        if split == "train":
            return np.maximum(train - 1, 0), train > 1
        return (train, valid > 0) if split == "valid" else (train + valid, test > 0)

    def _parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Bounds of the train, validation and test items of each user."""
        bounds = [self.offsets[:-1]]
        for size in leave_one_out_sizes(self.lengths):
            bounds.append(bounds[-1] + size)
        return list(zip(bounds[:-1], bounds[1:], strict=True))


def from_lists(
    items: Iterable[Iterable[int]], n_items: int, *, name: str = "sequences", **columns: Any
) -> Sequences:
    """Sequences from one list of item ids per user, oldest first; validated.

    Args:
        items: per user the items.
        n_items: ids lie in [0, n_items).
        name: of the data set.
        columns: titles, features and other fields of `Sequences`.

    Raises:
        DataError: see `validate_sequences`.
    """
    lists = [np.asarray(list(history), np.int64) for history in items]
    flat = np.concatenate([np.zeros(0, np.int64), *lists])
    check_ids(flat, where=name, what="item id", count=n_items)
    return validate_sequences(
        Sequences(
            name=name,
            n_users=len(lists),
            n_items=n_items,
            items=flat.astype(np.int32),
            offsets=offsets_of(np.array([len(history) for history in lists], np.int64)),
            **columns,
        )
    )


def from_interactions(data: Interactions) -> Sequences:
    """The sequences behind a leave-one-out split whose train rows stand in order of time.

    Every named data set of kind "sequences" does, and what `Sequences.to_interactions` made.
    `Interactions` hold no times: that the order is that of time is for the caller to know.

    Raises:
        DataError: another split, or more than one held-out row of a user.
    """
    if data.split != LEAVE_ONE_OUT:
        raise DataError(
            f"{data.name}: split {data.split!r} is not by time; sequences need {LEAVE_ONE_OUT!r}"
        )
    for split in SPLITS[1:]:
        count = np.bincount(data.pairs(split)[:, 0], minlength=1)
        if count.max() > 1:
            raise DataError(
                f"{data.name}, {split}: user {count.argmax()} has {count.max()} rows; "
                f"{LEAVE_ONE_OUT} holds out one"
            )
    pairs = np.concatenate([data.pairs(split) for split in SPLITS])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    lengths = np.bincount(pairs[:, 0], minlength=data.n_users)
    return Sequences(**data.columns(), items=pairs[:, 1].copy(), offsets=offsets_of(lengths))


def in_order_of_time(data: Interactions) -> Sequences:
    """The sequences of a data set whose pairs have times, whatever its split; ties as they stand.

    Without times, `from_interactions`.

    Raises:
        DataError: no times, and a split that is not by time.
    """
    if not data.times:
        if data.split != LEAVE_ONE_OUT:
            raise DataError(
                f"{data.name}: sequences need the time of each interaction, and there is none; "
                "prepare the data with a time column (python -m experiments prepare --time COLUMN)"
            )
        return from_interactions(data)
    pairs = np.concatenate([data.pairs(split) for split in SPLITS])
    times = np.concatenate([data.times[split] for split in SPLITS])
    order = np.lexsort((times, pairs[:, 0]))
    lengths = np.bincount(pairs[:, 0], minlength=data.n_users)
    columns = {**data.columns(), "split": LEAVE_ONE_OUT}
    return Sequences(**columns, items=pairs[order, 1].copy(), offsets=offsets_of(lengths))


def validate_sequences(data: Sequences, *, names: Mapping[str, str] | None = None) -> Sequences:
    """Check all content of a data set and return it unchanged; `names` as in `validate`.

    Raises:
        DataError: a dtype or shape is wrong, the offsets do not cut the items into users, an id
            is out of range, nobody has an item to train on, or something is wrong with features,
            names, tags or attributes.
    """
    called = dict(names or {})
    for name, dtype in (("items", np.int32), ("offsets", np.int64)):
        array, where = getattr(data, name), called.get(name, name)
        if array.dtype != dtype or array.ndim != 1:
            raise DataError(
                f"{where}: {array.dtype}{list(array.shape)}; give a flat {dtype.__name__} array"
            )
    where, offsets = called.get("offsets", "offsets"), data.offsets
    if len(offsets) != data.n_users + 1:
        raise DataError(f"{where}: {len(offsets)} entries for {data.n_users} users; give one more")
    if offsets[0] != 0 or offsets[-1] != len(data.items) or (np.diff(offsets) < 0).any():
        raise DataError(
            f"{where}: they must rise from 0 to the number of items, {len(data.items)}; found "
            f"{offsets[0]} to {offsets[-1]}"
            + (", not rising" if (np.diff(offsets) < 0).any() else "")
        )
    check_ids(data.items, where=called.get("items", "items"), what="item id", count=data.n_items)
    if not len(data.items):
        raise DataError(
            f"{called.get('items', 'items')}: nobody has an item; nothing can be trained"
        )
    validate_catalogue(data, called)
    return data


def _cut(offsets: np.ndarray, user: np.ndarray, place: np.ndarray, max_length: Any) -> Windows:
    """Windows of the `place` first items of each `user`, of which the latest are kept."""
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length = {max_length}; it must be 1 or more, or None for no limit")
    start, stop = offsets[user], offsets[user] + place
    if max_length is not None:
        start = np.maximum(start, stop - max_length)
    return Windows(user.astype(np.int32), start, stop)


def offsets_of(lengths: Int[np.ndarray, "u"]) -> Int64[np.ndarray, "_"]:
    """Offsets of sequences of these lengths that stand one after the other, and the end."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _ranges(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The integers of all half-open ranges, one after the other."""
    count = stop - start
    return np.arange(count.sum()) + np.repeat(start - (np.cumsum(count) - count), count)
