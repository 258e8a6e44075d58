"""Policies for items of equal codes, which turn raw codes [n, l] into a table's.

A quantiser gives several items one code now and then. Either one more token tells them apart
(`append_index`, `append_popularity`), or the last code of all but one is changed (`next_nearest`,
`random_free`, `sinkhorn_reassign`), or they stay together (`share`).

Axes: n items, l levels, k codes of the last level, c items that collide.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int, Integer

from mmjax.data.core.checks import DataError

Codes = Int[np.ndarray, "n l"]
Assign = Callable[[Int[np.ndarray, "c"]], Integer[np.ndarray, "c"]]
"""Last codes of some items, chosen together, such as by Sinkhorn iterations on these alone."""

APPENDING = ("append_index", "append_popularity")
"""Policies whose codes have one more level than the quantiser."""
POLICIES = (*APPENDING, "next_nearest", "random_free", "sinkhorn_reassign", "share")


def share(codes: Integer[np.ndarray, "n l"]) -> Codes:
    """The codes as they are: items of one code are found together (AVG, LETTER's data)."""
    return np.asarray(codes).astype(np.int64)


def append_index(codes: Integer[np.ndarray, "n l"], *, first: int = 0) -> Int[np.ndarray, "n l1"]:
    """One more token: `first`, first + 1, ... among the items of a code, in their order.

    All rows differ, whatever the codes (TIGER, arXiv 2305.05065).
    """
    return append_popularity(codes, np.zeros(len(codes), int), first=first)


def append_popularity(
    codes: Integer[np.ndarray, "n l"], popularity: Integer[np.ndarray, "n"], *, first: int = 0
) -> Int[np.ndarray, "n l1"]:
    """One more token: the rank of an item among those of its code, most popular first.

    Equally popular items are ranked in their order; `popularity` counts training interactions
    (MMGRec, arXiv 2404.16555, whose token begins at 1).
    """
    codes = share(codes)
    # Negated in int64: a count may be unsigned.
    order = np.lexsort((np.arange(len(codes)), -popularity.astype(np.int64), *codes.T[::-1]))
    start = np.flatnonzero(_opens(codes[order]))
    rank = np.arange(len(codes)) - start.repeat(_counts(start, len(codes)))
    token = np.empty(len(codes), np.int64)
    token[order] = rank + first
    return np.column_stack([codes, token])


def next_nearest(codes: Integer[np.ndarray, "n l"], distances: Float[np.ndarray, "n k"]) -> Codes:
    """Of the items of a code the nearest keeps it; each other takes its nearest free last code.

    Free is what no item of the same prefix has, before or by now. Of the items of a code, the
    nearer choose earlier, then the lower. Without a free code in a prefix, items stay together.

    Args:
        distances: of each item's last residual to all codes of the last level.
    """
    codes = share(codes)
    own = distances[np.arange(len(codes)), codes[:, -1]]
    return _displace(
        codes, own, lambda item, free: free[np.argmin(distances[item, free])], distances.shape[1]
    )


def random_free(codes: Integer[np.ndarray, "n l"], *, size: int, seed: int) -> Codes:
    """Of the items of a code the first keeps it; each other draws a free last code at random.

    Free as in `next_nearest`; `size` is the number of codes of the last level.
    """
    codes = share(codes)
    draw = np.random.default_rng(seed)
    return _displace(codes, np.zeros(len(codes)), lambda item, free: draw.choice(free), size)


def sinkhorn_reassign(
    codes: Integer[np.ndarray, "n l"], assign: Assign, *, rounds: int = 20
) -> Codes:
    """`assign` gives each group of colliding items new last codes together, again and again.

    Stops when all rows differ or after `rounds`. What collides then stays: equal items cannot be
    told apart this way (LC-Rec, ICDE 2024).

    Raises:
        DataError: `assign` returns another number of codes than it was given items.
    """
    codes = share(codes)
    for _ in range(rounds):
        groups = list(collisions(codes))
        if not groups:
            break
        for group in groups:
            last = np.asarray(assign(group))
            if last.shape != group.shape:
                raise DataError(f"assign gave {last.shape} codes for {group.shape} items")
            codes[group, -1] = last
    return codes


def collisions(codes: Integer[np.ndarray, "n l"]) -> Iterator[Int[np.ndarray, "c"]]:
    """The items of each code that has several, ascending; groups in the order of their codes."""
    order = np.lexsort((np.arange(len(codes)), *codes.T[::-1]))
    start = np.flatnonzero(_opens(codes[order]))
    counts = _counts(start, len(codes))
    for begin, count in zip(start[counts > 1], counts[counts > 1], strict=True):
        yield order[begin : begin + count]


def _displace(
    codes: np.ndarray, cost: np.ndarray, choose: Callable[[int, np.ndarray], int], size: int
) -> np.ndarray:
    """Move all but the cheapest item of each code to a free last code that `choose` picks."""
    if len(codes) and (codes[:, -1].min() < 0 or codes[:, -1].max() >= size):
        raise DataError(
            f"last codes lie in {codes[:, -1].min()}..{codes[:, -1].max()}, but the last level has "
            f"{size} codes"
        )
    for prefix in collisions(codes[:, :-1]):
        taken = np.bincount(codes[prefix, -1], minlength=size) > 0
        for group in collisions(codes[prefix, -1:]):
            items = prefix[group]
            for item in items[np.argsort(cost[items], kind="stable")][1:]:
                free = np.flatnonzero(~taken)
                if len(free):
                    codes[item, -1] = choose(item, free)
                    taken[codes[item, -1]] = True
    return codes


def _opens(codes: np.ndarray) -> np.ndarray:
    """Mask of the sorted rows that differ from the one before."""
    opens = np.ones(len(codes), bool)
    opens[1:] = (codes[1:] != codes[:-1]).any(1)
    return opens


def _counts(start: np.ndarray, n: int) -> np.ndarray:
    ends = np.append(start[1:], n)
    return ends - start
