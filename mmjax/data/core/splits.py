"""Named splits: which interaction is for training, validation or test.

`mmrec`                  MMRec's rule, per user at random: below 10 interactions one to validation
                         and one to test, otherwise a fifth held out, half of it to each.
`meta_mmf`               MetaMMF's rule, per user at random: four fifths, rounded, to training, the
                         larger half of the rest to test (as its released code does).
`random-8:1:1`           per user at random, in any whole-number ratio, rounded in favour of
                         training, but one for test from two and one for validation from three.
`leave-one-out`          per user by time: the last to test, the one before to validation.
`global-time`            by time over all users, 8:1:1; `global-time-7:1:2` for another ratio.
`items-8:1:1`            by item at random: all interactions of an item fall in one part, so that
                         items of validation and test are new; in any whole-number ratio.
`none`                   all to training: nothing is validated or tested.

The per-user splits leave every user at least one training interaction: a user with one has only
that, a user with two has one for training and one for test (but `meta_mmf` tests from three on
and validates from eight on). A random split carries its seed in
its name (`mmrec@0`), because it is another split than the published one (`mmrec`).

Axes: e interactions, u users.
"""

import dataclasses

import numpy as np
from jaxtyping import Int, Int8, Int32, Num

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions

Labels = Int8[np.ndarray, "e"]
Sizes = tuple[np.ndarray, np.ndarray, np.ndarray]

_RANDOM, _TIME, _ITEMS = "random-", "global-time", "items-"
_DEFAULT_RATIO = "8:1:1"


def split_labels(
    name: str,
    user: Int[np.ndarray, "e"],
    timestamp: Num[np.ndarray, "e"] | None = None,
    *,
    item: Int[np.ndarray, "e"] | None = None,
    seed: int = 0,
) -> Labels:
    """The part each interaction falls in: 0 train, 1 validation, 2 test.

    Args:
        name: one of the splits above.
        user: user of each interaction, 0 or more.
        timestamp: its time, for the splits by time; equal times keep the order given (within a
            user) or stay in the same part (global).
        item: item of each interaction, for the splits by items.
        seed: of the random splits.

    Raises:
        ValueError: no such split, or a bad ratio.
        DataError: a split by time without timestamps.
    """
    if needs_time(name) and timestamp is None:
        raise DataError(
            f"split {name!r} goes by time, but there are no timestamps; read the timestamp column "
            "or choose mmrec or random-8:1:1"
        )
    if name.startswith(_TIME):
        assert timestamp is not None
        return _global_time(timestamp, _ratio(name, name.removeprefix(_TIME).removeprefix("-")))
    if name == "leave-one-out":
        assert timestamp is not None
        return _per_user(user, timestamp, leave_one_out_sizes)
    # The raw stream of a bit generator is the same in every release of NumPy; `permutation` of
    # a Generator is not promised to be.
    if name == "none":
        return np.zeros(len(user), np.int8)
    if name.startswith(_ITEMS):
        if item is None:
            raise ValueError(f"split {name!r} goes by items; give the item of each interaction")
        return _by_item(item, _ratio(name, name.removeprefix(_ITEMS)), seed)
    draw = np.random.PCG64(seed).random_raw(len(user))
    if name == "mmrec":
        return _per_user(user, draw, mmrec_sizes)
    if name == "meta_mmf":
        return _per_user(user, draw, meta_mmf_sizes)
    if name.startswith(_RANDOM):
        ratio = _ratio(name, name.removeprefix(_RANDOM))
        return _per_user(user, draw, lambda n: _ratio_sizes(n, ratio))
    raise ValueError(
        f"no split {name!r}; choose mmrec, meta_mmf, random-8:1:1, leave-one-out, global-time, "
        "items-8:1:1 or none"
    )


def needs_time(name: str) -> bool:
    """True for a split that goes by time."""
    return name == "leave-one-out" or name.startswith(_TIME)


def split_name(name: str, seed: int) -> str:
    """The name to report: random splits carry their seed, `mmrec@0`."""
    drawn = name in ("mmrec", "meta_mmf") or name.startswith((_RANDOM, _ITEMS))
    return f"{name}@{seed}" if drawn else name


def times_by_split(times: Num[np.ndarray, "e"], labels: Labels) -> dict[str, np.ndarray]:
    """The times of the pairs of train, valid and test, in the order of `partition`."""
    return {split: times[labels == place] for place, split in enumerate(SPLITS)}


def partition(
    pairs: Int32[np.ndarray, "e 2"], labels: Labels
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of train, valid and test, each in the order given."""
    return pairs[labels == 0], pairs[labels == 1], pairs[labels == 2]


def resplit(data: Interactions, name: str, *, seed: int = 0) -> Interactions:
    """The same data set with all its pairs split anew.

    Raises:
        ValueError: no such split.
        DataError: a split by time of a data set without times.
    """
    pairs = np.concatenate([data.pairs(split) for split in SPLITS])
    # Order by user and item: the outcome depends on the set of pairs, not on the old split.
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, times = pairs[order], None
    if data.times:
        times = np.concatenate([data.times[split] for split in SPLITS])[order]
    labels = split_labels(name, pairs[:, 0], times, item=pairs[:, 1], seed=seed)
    return dataclasses.replace(
        data,
        split=split_name(name, seed),
        **dict(zip(SPLITS, partition(pairs, labels), strict=True)),
        times={} if times is None else times_by_split(times, labels),
    )


def mmrec_sizes(n: Int[np.ndarray, "u"]) -> Sizes:
    """Train, validation and test sizes ``[u]`` of users with `n` interactions by MMRec's rule
    (enoche/MMRec, `preprocessing`): n < 10 gives n-2, 1, 1; otherwise hold = int(0.2 n) is held
    out, hold // 2 of it for validation.

    MMRec leaves nothing to train on for n < 3 (5-core data has no such user); here train comes
    first, then test.
    """
    hold = n // 5
    valid = np.where(n < 10, 1, hold // 2) * (n > 2)
    test = np.where(n < 10, 1, hold - hold // 2) * (n > 1)
    return n - valid - test, valid, test


def meta_mmf_sizes(n: Int[np.ndarray, "u"]) -> Sizes:
    """Train, validation and test sizes ``[u]`` by MetaMMF's rule: train = round(0.8 n), test the
    larger half of the rest. A user needs 3 interactions for one of test, 8 for validation too.
    """
    train = (8 * n + 5) // 10
    return train, (n - train) // 2, (n - train + 1) // 2


def follows_mmrec(train: np.ndarray, valid: np.ndarray, test: np.ndarray, n_users: int) -> bool:
    """True if pairs ``[e 2]`` have the sizes of MMRec's rule for every single user."""
    counts = [np.bincount(part[:, 0], minlength=n_users) for part in (train, valid, test)]
    expected = mmrec_sizes(np.sum(counts, axis=0))
    return all(np.array_equal(a, b) for a, b in zip(counts, expected, strict=True))


def leave_one_out_sizes(n: Int[np.ndarray, "u"]) -> Sizes:
    """Train, validation and test sizes ``[u]`` of leave-one-out: one for test from two
    interactions on, one for validation from three on.
    """
    valid, test = (n > 2).astype(n.dtype), (n > 1).astype(n.dtype)
    return n - valid - test, valid, test


def _ratio_sizes(n: np.ndarray, ratio: tuple[int, int, int]) -> Sizes:
    total = sum(ratio)
    # One for training, one for validation from three on, at least one for test from two on.
    kept = 1 + (n > 2) * int(ratio[1] > 0)
    test = np.minimum(np.maximum(n * ratio[2] // total, int(ratio[2] > 0)), n - kept)
    valid = np.minimum(np.maximum(n * ratio[1] // total, int(ratio[1] > 0)), n - 1 - test)
    return n - valid - test, valid, test


def _per_user(user: np.ndarray, order: np.ndarray, sizes) -> Labels:
    """Labels by the rank of an interaction among its user's, in `order`: train, valid, test."""
    row = np.lexsort((order, user))
    _, start, group, count = np.unique(
        user[row], return_index=True, return_inverse=True, return_counts=True
    )
    train, valid, _ = sizes(count)
    position = np.arange(len(row)) - start[group]
    labels = np.empty(len(row), np.int8)
    labels[row] = (position >= train[group]).astype(np.int8) + (position >= (train + valid)[group])
    return labels


def _by_item(item: np.ndarray, ratio: tuple[int, int, int], seed: int) -> Labels:
    """Whole items, drawn, go to a part until it holds its share of the items."""
    names, of = np.unique(item, return_inverse=True)
    order = np.argsort(np.random.PCG64(seed).random_raw(len(names)), kind="stable")
    ends = np.cumsum(ratio[:2]) * len(names) // sum(ratio)
    # One item at least for training.
    ends = np.maximum(ends, 1)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return ((place >= ends[0]).astype(np.int8) + (place >= ends[1]))[of]


def _global_time(timestamp: np.ndarray, ratio: tuple[int, int, int]) -> Labels:
    times = np.sort(timestamp)
    ends = np.cumsum(ratio[:2]) * len(times) // sum(ratio)
    last = times[np.maximum(ends - 1, 0)]
    return ((timestamp > last[0]).astype(np.int8) + (timestamp > last[1])).astype(np.int8)


def _ratio(name: str, text: str) -> tuple[int, int, int]:
    parts = (text or _DEFAULT_RATIO).split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts) or int(parts[0]) == 0:
        raise ValueError(
            f"split {name!r}: give the ratio as three whole numbers, train:valid:test, with some "
            "for train, such as 8:1:1"
        )
    return int(parts[0]), int(parts[1]), int(parts[2])
