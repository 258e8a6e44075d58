"""Delimited text files that a stranger hands in: every row is read, or one error names the row."""

import csv as strict_csv
import gzip
import io
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.io.readers import PathLike

if TYPE_CHECKING:
    import pyarrow as pa

_BOM = b"\xef\xbb\xbf"
_SEPARATOR = "\x1f"
"""Stands for a delimiter of several characters while a file is read."""
_SHOWN = 80


def read_table(
    path: PathLike,
    types: Mapping[str, str],
    *,
    optional: Mapping[str, str] | None = None,
    delimiter: str = "\t",
    names: Sequence[str] | None = None,
    nulls: bool = False,
    quoting: bool = True,
    remedy: str = "",
) -> "pa.Table":
    """Columns of a delimited text file (UTF-8, plain or `.gz`), typed.

    Quotes are those of RFC 4180: a field in quotes may hold delimiters and line ends. A quote that
    is never closed, or closed in the middle of a field, would swallow the rows behind it; where
    every line has its columns without any quoting, quotes are then letters, with a warning.

    Args:
        types: column -> Arrow type ("int64", "float64", "string") of the columns to read.
        optional: the same for columns that are read if present.
        delimiter: one character or several, such as "::"; several know no quoting.
        names: column names where the file has no header line.
        nulls: whether empty or NaN entries may occur; a string is never one of them.
        quoting: False reads quotes as letters, as MMRec's and RecBole's files mean them.
        remedy: what to do when a column is missing, for the error.

    Raises:
        DataError: the file is empty, truncated, not UTF-8, lacks a column, has a row of the wrong
            length, a stray quote or an entry of the wrong type; named with its row (the first line
            is row 1).
        FileNotFoundError: there is no such file.
    """
    import pyarrow as pa
    from pyarrow import csv

    content, delimiter = _single(path, _content(path), delimiter)
    columns = list(names) if names else _names(path, content, delimiter, quoting)
    missing = [name for name in types if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(columns)}"
            + (f"; {remedy}" if remedy else "")
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    wanted = {**types, **{k: v for k, v in (optional or {}).items() if k in columns}}
    if both := [name for name in wanted if name in repeated]:
        raise DataError(f"{path}: two columns are called {both[0]}; rename one of them")
    quotes, several = (quoting and delimiter != _SEPARATOR), False
    if quotes:
        quotes, several = _quotes(path, content, delimiter, len(columns))
    # Columns that are not read may share a name, which Arrow would refuse.
    unique = [n if n in wanted else f"{place} {n}" for place, n in enumerate(columns)]
    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            # One thread, because only then do errors tell the row.
            read_options=csv.ReadOptions(
                use_threads=False, column_names=unique, skip_rows=0 if names else 1
            ),
            parse_options=csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quotes else False,
                newlines_in_values=several,
            ),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.type_for_alias(kind) for name, kind in wanted.items()},
                include_columns=list(wanted),
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {_fault(error)}") from error
    if not table.num_rows:
        raise DataError(f"{path}: no rows below the header; the file is truncated or empty")
    for name in wanted:
        if table[name].null_count and not nulls:
            row = int(np.argmax(table[name].is_null().to_numpy())) + (1 if names else 2)
            raise DataError(f"{path}, row {row}: no {name}; fill it in or remove the row")
    return table


def header(path: PathLike, delimiter: str, *, quoting: bool = True) -> list[str]:
    """Names in the first line of a delimited text file (UTF-8, plain or `.gz`), without types.

    Raises:
        DataError: the file is empty, truncated or not UTF-8.
        FileNotFoundError: there is no such file.
    """
    content, delimiter = _single(path, _content(path), delimiter)
    return _names(path, content, delimiter, quoting)


def guess_delimiter(path: PathLike) -> str:
    """What separates the columns of a file: the one that gives its first line most of them.

    Tabs, semicolons, bars, double colons and commas are known; of equals the earlier.

    Raises:
        DataError: the file is empty, truncated or not UTF-8.
    """
    line = _first_line(path, _content(path))
    return max(("\t", ";", "|", "::", ","), key=lambda mark: line.count(mark) * len(mark))


def strip_type(name: str) -> str:
    """A column name without RecBole's type: "userID:token" -> "userID"."""
    return name.split(":")[0]


def _content(path: PathLike) -> bytes:
    try:
        with gzip.open(path) if Path(path).suffix == ".gz" else open(path, "rb") as file:
            content = file.read().removeprefix(_BOM)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        text = " ".join(str(error).split())
        raise DataError(
            f"{path}: truncated or damaged archive ({text}); copy or make it again"
        ) from error
    try:
        # Whole, not as far as Arrow looks: columns that are left out hide the rows they swallow.
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {row}: not UTF-8 text ({error.reason}); save it as UTF-8"
        ) from error
    return content


def _single(path: PathLike, content: bytes, delimiter: str) -> tuple[bytes, str]:
    """The content with one character between the columns, and that character."""
    if len(delimiter) == 1 and delimiter.isascii() and delimiter not in '"\r\n':
        return content, delimiter
    if not delimiter or set(delimiter) & set('"\r\n'):
        raise DataError(
            f"{path}: delimiter {delimiter!r}; give characters that are no quote or end"
        )
    if _SEPARATOR.encode() in content:
        raise DataError(f"{path}: holds the character 0x1f; save it with one delimiter, such as ,")
    return content.replace(delimiter.encode(), _SEPARATOR.encode()), _SEPARATOR


def _first_line(path: PathLike, content: bytes) -> str:
    line = content.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8")
    if not line:
        raise DataError(f"{path}: the file is empty, or its first line is; copy or make it again")
    return line


def _names(path: PathLike, content: bytes, delimiter: str, quoting: bool) -> list[str]:
    line = _first_line(path, content)
    fields = line.split(delimiter)
    if quoting and '"' in line:
        try:
            fields = next(strict_csv.reader([line], delimiter=delimiter, strict=True))
        except strict_csv.Error as error:
            raise DataError(f"{path}, row 1: a stray quote ({error}); remove it") from error
    return [strip_type(name.strip()) for name in fields]


def _quotes(path: PathLike, content: bytes, delimiter: str, columns: int) -> tuple[bool, bool]:
    """Whether quotes enclose fields, and whether such a field spans lines.

    Raises:
        DataError: a quote is stray and the lines cannot be read without quoting either.
    """
    if b'"' not in content:
        return False, False
    spans, fault, row = 0, "", 0
    reader = strict_csv.reader(
        io.StringIO(content.decode("utf-8"), newline=""), delimiter=delimiter, strict=True
    )
    before = strict_csv.field_size_limit(len(content) + 1)
    try:
        for _ in reader:
            if reader.line_num > row + 1:
                spans = spans or row + 1
            row = reader.line_num
    except strict_csv.Error as error:
        fault = f"{error}"
    finally:
        strict_csv.field_size_limit(before)
    if not fault and not spans:
        return True, False
    opens = row + 1 if fault else spans
    if _whole(content, delimiter, columns):
        warnings.warn(
            f"{path}, row {opens}: a quote that opens there does not close in its row; every line "
            f"has its {columns} columns without quoting, so quotes are read as letters",
            stacklevel=3,
        )
        return False, False
    if fault:
        shown = content.split(b"\n")[opens - 1].decode("utf-8").strip()[:_SHOWN]
        raise DataError(
            f"{path}, row {opens}: a quote opens and is not closed as it should ({fault}): "
            f"{shown!r}; remove the quote, or write it twice inside a quoted field"
        )
    return True, True


def _whole(content: bytes, delimiter: str, columns: int) -> bool:
    """Whether every line that is not empty has all its columns, quotes or not."""
    lines = [line for line in content.replace(b"\r", b"").split(b"\n") if line]
    return all(line.count(delimiter.encode()) == columns - 1 for line in lines)


def _fault(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Expected" in text and "columns" in text:
        return f"{text}; the line is cut off or has a stray delimiter: correct it or copy it again"
    return f"{text}; correct the entry"
