"""Times in text, exact to the last digit.  Axes: e rows."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mmjax.data.core.checks import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = float(1 << 53)
_MICRO = 1_000_000


def without_empty(column: Any) -> Any:
    """A column of strings without blanks around them, null where nothing is left; another as it
    is.
    """
    import pyarrow as pa
    from pyarrow import compute

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    trimmed = compute.call_function("utf8_trim_whitespace", [column])
    empty = compute.call_function("equal", [trimmed, pa.scalar("", column.type)])
    return compute.call_function("if_else", [empty, pa.scalar(None, column.type), trimmed])


def parse_times(
    column: "pa.ChunkedArray", *, where: str, first_row: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Times ``[e]`` and whether each is there ``[e]``; those that are not are 0.

    Integers of any unit stay as they are, int64, nanoseconds too; so do whole numbers in another
    spelling, such as 1.400e+09. Fractions are float64. ISO dates, "2024-05-01" or
    "2024-05-01 12:30:00", with a zone or in UTC, become seconds since 1970, or microseconds where
    one of them has a fraction of a second.

    Args:
        column: strings, numbers or timestamps.
        where: the file and column, for errors.
        first_row: number of the first row as a person counts.

    Raises:
        DataError: an entry is no time, infinite or NaN; named with its row.
    """
    import pyarrow as pa

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    column = without_empty(column)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    if not there.any():
        return np.zeros(len(column), np.int64), there
    if pa.types.is_temporal(column.type):
        return _seconds(column.cast(pa.timestamp("us"))), there
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        values = numbers.fill_null(0).to_numpy(zero_copy_only=False)
        return (values if kind == pa.int64() else _whole(values, where, first_row)), there
    for kind in (pa.timestamp("us", tz="UTC"), pa.timestamp("us")):
        try:
            return _seconds(column.cast(kind)), there
        except pa.ArrowInvalid:
            continue
    row, entry = _first_bad(column)
    raise DataError(
        f"{where}, row {row + first_row}: {entry!r} is no time; give numbers, or ISO dates such as "
        "2024-05-01 or 2024-05-01T12:30:00, all with a zone or all without"
    )


def _whole(values: np.ndarray, where: str, first_row: int) -> np.ndarray:
    """Floats as integers where that loses nothing."""
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{where}, row {row + first_row}: the time {values[row]} is not finite; {bad.sum()} "
            "such rows: correct them, or leave the entry empty"
        )
    if (values == np.trunc(values)).all() and np.abs(values).max(initial=0) <= _EXACT:
        return values.astype(np.int64)
    return values


def _seconds(column: "pa.Array") -> np.ndarray:
    micro = column.cast("int64").fill_null(0).to_numpy(zero_copy_only=False)
    return micro // _MICRO if (micro % _MICRO == 0).all() else micro


def _first_bad(column: "pa.Array") -> tuple[int, str]:
    """Row and text of the first entry that is neither a number nor a time."""
    import pyarrow as pa

    def parses(entry: "pa.Scalar") -> bool:
        for kind in (pa.float64(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
            try:
                entry.cast(kind)
            except pa.ArrowInvalid:
                continue
            return True
        return False

    kinds = [entry for entry in column if entry.is_valid]
    for row, entry in enumerate(column):
        if entry.is_valid and not parses(entry):
            return row, str(entry)
    # All are times by themselves, but of several kinds.
    return 0, str(kinds[0])
