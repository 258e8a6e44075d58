"""(user, item) pairs on the host, in numpy.  Axes: e pairs, f distinct pairs."""

import numpy as np
from jaxtyping import Int, Integer


def check_pairs(
    pairs: Integer[np.ndarray, "e 2"], n_users: int, n_items: int, what: str
) -> Int[np.ndarray, "e 2"]:
    """The pairs as int64, after a check that users and items are in range.

    Inside a jitted function an id out of range would be clamped or dropped without a word.

    Raises:
        ValueError: naming `what`, the row and the range.
    """
    pairs = np.asarray(pairs).astype(np.int64)
    bad = (pairs < 0) | (pairs >= np.array([[n_users, n_items]]))
    if bad.any():
        row = int(np.argmax(bad.any(1)))
        raise ValueError(
            f"{what}, row {row}: user {pairs[row, 0]}, item {pairs[row, 1]}; users must lie in "
            f"[0, {n_users}) and items in [0, {n_items})"
        )
    return pairs


def sorted_pairs(pairs: Int[np.ndarray, "e 2"], n_items: int) -> Int[np.ndarray, "f 2"]:
    """The pairs by user, then item, each once."""
    # In int64 whatever comes in: int32 overflows from 46,341 users and items on.
    packed = np.unique(pairs[:, 0].astype(np.int64) * n_items + pairs[:, 1])
    return np.stack([packed // n_items, packed % n_items], 1)
