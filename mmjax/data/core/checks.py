"""Checks of data, each without a loop over rows and with one clear error.

Axes: e interactions, i items, d features.
"""

import numpy as np

from mmjax.errors import UserError


class DataError(UserError):
    """Bad data; the message names the file or field, the row, and the remedy."""


def check_ids(
    ids: np.ndarray, *, where: str, what: str, count: int | None = None, first_row: int = 0
) -> None:
    """Check integer ids ``[e]``: none negative, none at or above `count` (None: no upper bound).

    `first_row` is the number of the first row as a person counts in the file.

    Raises:
        DataError: naming `where`, the row, `what` the id is of, and the range.
    """
    if not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"{where}: {what} has dtype {ids.dtype}; give integers")
    bad = ids < 0 if count is None else (ids < 0) | (ids >= count)
    if bad.any():
        row = int(np.argmax(bad))
        allowed = "0 or more" if count is None else f"0..{count - 1}"
        raise DataError(
            f"{where}, row {row + first_row}: {what} {ids[row]} is out of range ({allowed}); "
            f"{int(bad.sum())} such rows; ids must be contiguous indices from 0, so map raw ids "
            "to indices first or correct the rows"
        )


def check_duplicates(
    user: np.ndarray,
    item: np.ndarray,
    *,
    where: str,
    labels: list[str] | None = None,
    first_row: int = 0,
) -> None:
    """Check that no (user, item) pair occurs twice; ids ``[e]`` must be non-negative.

    `labels` names each row (default: "row N").

    Raises:
        DataError: naming `where`, the pair and both of its rows.
    """
    if not len(user):
        return
    key = user.astype(np.int64) * (int(item.max()) + 1) + item
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    if same.size:
        # The repeat that a reader of the file meets first.
        first = same[np.argmin(order[same + 1])]
        rows = int(order[first]), int(order[first + 1])
        names = [labels[row] if labels else f"row {row + first_row}" for row in rows]
        raise DataError(
            f"{where}: user {user[rows[0]]} and item {item[rows[0]]} occur twice, in {names[0]} "
            f"and {names[1]}; {same.size} repeated rows in all; keep one of each, otherwise a "
            "split leaks into another"
        )


def check_matrix(features: np.ndarray, *, where: str) -> None:
    """Check that features are a matrix ``[i d]`` with at least one column.

    Raises:
        DataError: naming `where` and the shape.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise DataError(f"{where}: shape {features.shape}; features are a matrix, one row per item")


def check_features(features: np.ndarray, *, n_items: int, where: str) -> None:
    """Check a modality's features: a matrix ``[i d]`` of finite numbers, one row per item.

    Raises:
        DataError: naming `where`, the item (row) and the column of the first bad entry.
    """
    check_matrix(features, where=where)
    if len(features) != n_items:
        raise DataError(
            f"{where}: {len(features)} rows for {n_items} items; row i must hold the features of "
            "item i, so give exactly one row per item"
        )
    # The sum of a row is finite unless it holds NaN or inf, or overflows; look closer only there.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = np.flatnonzero(~np.isfinite(features.sum(axis=1, dtype=np.float64)))
    bad = ~np.isfinite(features[suspect])
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        column = int(np.argmax(bad[row]))
        value = features[suspect[row], column]
        raise DataError(
            f"{where}, row {suspect[row]}, column {column}: {value}; "
            f"{int(bad.any(axis=1).sum())} items have such entries; replace them (for example by "
            "the mean of the column) or leave the modality out"
        )
