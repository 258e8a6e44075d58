"""Interactions, the data set that recommenders see: pairs, features, names; never files.

Axes: e interactions, u users, i items, d features.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Int32

from mmjax.data.core.catalogue import Catalogue, read_only, validate_catalogue
from mmjax.data.core.checks import DataError, check_duplicates, check_ids

SPLITS = ("train", "valid", "test")
RULES = ("train", "train+held_out")
"""Rules for what a ranking leaves out, see `Interactions.excluded`."""

Pairs = Int32[np.ndarray, "e 2"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Interactions(Catalogue):
    """Pairs of users and items per split, and what is known about the items.

    All arrays are read-only. Construction checks nothing about the content: see `validate`.

    Attributes:
        train, valid, test: (user, item) pairs, int32 ``[e 2]``; valid and test may be empty.
        times: split -> time of each of its pairs, int64 or float64 ``[e]``; empty where unknown.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    times: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in SPLITS:
            object.__setattr__(self, name, read_only(getattr(self, name)))
        times = {name: read_only(self.times[name]) for name in SPLITS if name in self.times}
        object.__setattr__(self, "times", MappingProxyType(times))

    def __repr__(self) -> str:
        sizes = "/".join(f"{len(getattr(self, split)):,}" for split in SPLITS)
        return (
            f"Interactions({self.name}, split {self.split}: {self.n_users:,} users, "
            f"{self.n_items:,} items, {sizes} train/valid/test, features: {self.widths()})"
        )

    def events(self) -> dict[str, np.ndarray]:
        """The pairs by split."""
        return {split: getattr(self, split) for split in SPLITS}

    def rows(self, **chosen: np.ndarray) -> "Interactions":
        """With these rows of the splits named, a mask or numbers, and their times alike."""
        parts = {split: self.pairs(split)[index] for split, index in chosen.items()}
        times = {s: t[chosen[s]] if s in chosen else t for s, t in self.times.items()}
        return dataclasses.replace(self, **parts, times=times)

    def empty_splits(self) -> tuple[str, ...]:
        """Names of the splits without a pair."""
        return tuple(split for split in SPLITS if not len(self.pairs(split)))

    def pairs(self, split: str) -> Pairs:
        """The pairs of "train", "valid" or "test".

        Raises:
            ValueError: no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        return getattr(self, split)

    def excluded(self, split: str, rule: str = "train") -> Pairs:
        """The pairs that ranking leaves out when `split` ("valid" or "test") is evaluated.

        "train" (default): the train pairs, as most published protocols do. "train+held_out": the
        train pairs and the other held-out split, whose items are then no rivals of the targets.

        Raises:
            ValueError: no such split to evaluate, or no such rule.
        """
        if split not in ("valid", "test"):
            raise ValueError(f"split {split!r} is not evaluated; choose valid or test")
        if rule not in RULES:
            raise ValueError(f"rule {rule!r} is none of {', '.join(RULES)}")
        if rule == "train":
            return self.train
        other = self.test if split == "valid" else self.valid
        return read_only(np.concatenate([self.train, other]))

    def filter_cold_users(self) -> "Interactions":
        """Without the valid and test rows of users that have no train row (MMRec's
        `filter_out_cod_start_users`); ids and sizes stay as they are.
        """
        warm = np.zeros(self.n_users, bool)
        warm[self.train[:, 0]] = True
        return self.rows(**{split: warm[self.pairs(split)[:, 0]] for split in ("valid", "test")})


def sorted_by_user(data: Interactions) -> Interactions:
    """The same data set with the rows of each split in the order of users, otherwise as before:
    the order in which named data sets come, whatever files they were read from.
    """
    return data.rows(**{s: np.argsort(data.pairs(s)[:, 0], kind="stable") for s in SPLITS})


def validate(data: Interactions, *, names: Mapping[str, str] | None = None) -> Interactions:
    """Check all content of a data set and return it unchanged.

    `names` maps a field ("train", "features/text", "item_ids", ...) to what the error calls it,
    such as the file it was read from.

    Raises:
        DataError: a dtype or shape is wrong, train is empty, an id is out of range, a (user,
            item) pair occurs twice inside or across splits, a feature is NaN or infinite, or the
            number of feature rows, raw ids, titles, tags or labels is not the number of items or
            users, or a label has no class.
    """
    called = dict(names or {})
    for split in SPLITS:
        pairs, where = getattr(data, split), called.get(split, split)
        if pairs.dtype != np.int32 or pairs.ndim != 2 or pairs.shape[1] != 2:
            raise DataError(
                f"{where}: {pairs.dtype}{list(pairs.shape)}; give (user, item) pairs as an int32 "
                "array with two columns"
            )
        check_ids(pairs[:, 0], where=where, what="user id", count=data.n_users)
        check_ids(pairs[:, 1], where=where, what="item id", count=data.n_items)
        times = data.times.get(split)
        if data.times and (
            times is None or times.shape != pairs.shape[:1] or times.dtype.kind not in "if"
        ):
            found = "none" if times is None else f"{times.dtype}{list(times.shape)}"
            raise DataError(f"times of {where}: {found}; give a number for each of {len(pairs)}")
        if times is not None and not np.isfinite(times).all():
            row = int(np.argmax(~np.isfinite(times)))
            raise DataError(f"times of {where}, row {row}: {times[row]} is no time")
    if not len(data.train):
        raise DataError(f"{called.get('train', 'train')}: no rows; nothing can be trained")
    _check_repeats(data, called)
    validate_catalogue(data, called)
    return data


def _check_repeats(data: Interactions, called: Mapping[str, str]) -> None:
    pairs = np.concatenate([getattr(data, split) for split in SPLITS])
    if len(np.unique(pairs[:, 0].astype(np.int64) * data.n_items + pairs[:, 1])) < len(pairs):
        labels = [
            f"{called.get(split, split)} row {row}"
            for split in SPLITS
            for row in range(len(getattr(data, split)))
        ]
        check_duplicates(pairs[:, 0], pairs[:, 1], where=data.name, labels=labels)
