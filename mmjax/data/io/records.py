"""Tables of words, row by row: CSV, TSV, JSON lines, Parquet, data frames and lists of rows.

Every row is read, or one error names the file and the row. Nothing is guessed about a value: "NA"
and "007" stay words.
"""

import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any

from mmjax.data.core.checks import DataError

Rows = Sequence[Mapping[str, Any]]
"""Rows by the names of their columns."""
_Numbered = Iterator[tuple[int, Mapping[str, Any]]]
Header = tuple[tuple[str, ...], tuple[str, ...]]


def records_of(table: Any, what: str, *, header: Header | None = None) -> tuple[str, _Numbered]:
    """The name of a table, and its rows with their numbers as a person counts them.

    Args:
        table: a path (.csv, .tsv, .txt, .jsonl, .json of lines, .parquet; packed by gzip or not), a
            data frame, or rows.
        what: its name where it has no path.
        header: names of the first two columns, one of which the first line of a CSV or TSV must
            hold; where it holds none, the columns are query, document and grade, and of four (as
            TREC has them) the second is left out.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is of no known kind; while the rows are read, one is broken.
    """
    if isinstance(table, str | os.PathLike):
        path = Path(table)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give the path of the {what}")
        return str(path), _of_file(path, header)
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        table = table.to_dict("records")
    return what, enumerate(table, 1)


def first_of(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of some columns that is there; None if none is."""
    return next((record[n] for n in names if record.get(n) is not None), None)


def word_of(value: Any) -> str:
    """A value as a word: whole numbers without a point, a missing one (None, NaN) as ""."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _of_file(path: Path, header: Header | None) -> _Numbered:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind == ".parquet":
        yield from _parquet(path)
        return
    readers = {".jsonl": _lines, ".json": _lines, ".ndjson": _lines}
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else open(path, encoding="utf-8-sig", newline="")
        ) as opened:
            if kind in readers:
                yield from readers[kind](path, opened)
            elif kind in (".csv", ".tsv", ".txt"):
                yield from _cells(path, opened, kind == ".csv", header)
            else:
                raise DataError(f"{path}: give a .csv, .tsv, .jsonl or .parquet, packed or not")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged, or not UTF-8 ({error}); save it again") from None


def _lines(path: Path, file: TextIOBase) -> _Numbered:
    for row, line in enumerate(file, 1):
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, row {row}: no JSON ({error}); correct it") from None
            if not isinstance(record, dict):
                raise DataError(f"{path}, row {row}: {line[:40]!r} is no object of names")
            yield row, record


def _cells(path: Path, file: TextIOBase, commas: bool, header: Header | None) -> _Numbered:
    rows = csv.reader(file, strict=True) if commas else _tabs(file)
    names: list[str] | None = None
    row = 0
    try:
        for row, cells in enumerate(rows, 1):
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names, plain = _names(path, cells, header)
                if not plain:
                    continue
            if len(cells) != len(names):
                raise DataError(
                    f"{path}, row {row}: {len(cells)} cells under {len(names)} columns; correct it"
                )
            yield row, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, row {row + 1}: {error}; look for a stray quote") from None


def _tabs(file: TextIOBase) -> Iterator[list[str]]:
    """Cells between tabs, where a quote is a character like others."""
    for line in file:
        yield line.rstrip("\r\n").split("\t")


def _names(path: Path, cells: list[str], header: Header | None) -> tuple[list[str], bool]:
    """Names of the columns, and whether the line is itself a row."""
    names = [cell.strip().lower() for cell in cells]
    if header is None or (set(names) & set(header[0]) and set(names) & set(header[1])):
        if len(set(names)) < len(names):
            raise DataError(f"{path}: the columns {cells} repeat a name; rename one")
        return names, False
    plain = {2: ["query", "document"], 3: ["query", "document", "grade"]}
    plain[4] = ["query", "iteration", "document", "grade"]
    if len(cells) not in plain:
        raise DataError(f"{path}, row 1: {len(cells)} columns without known names; name them")
    return plain[len(cells)], True


def _parquet(path: Path) -> _Numbered:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file ({error}); save it again") from None
    yield from enumerate(table.to_pylist(), 1)
