"""Tables of any kind that a person has, as columns by name, and which column is what.

DataFrames, mappings and Arrow tables; CSV, TSV and other delimited files, RecBole's atomic files,
JSON lines and Parquet.  Nothing is typed but what already is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.io.tables import guess_delimiter, header, read_table

if TYPE_CHECKING:
    import pyarrow as pa

_ATOMIC = (".inter", ".item", ".user")
_JSON = (".jsonl", ".ndjson", ".json")
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    role: tuple(words.split())
    for role, words in {
        "user": "user userid uid useridx username reviewerid visitorid customerid memberid viewer "
        "viewerid reader readerid listener listenerid",
        "item": "item itemid iid itemidx movieid movie filmid film productid product asin "
        "parentasin bookid isbn songid trackid artistid videoid newsid articleid businessid gameid "
        "recipeid",
        "time": "timestamp time date datetime ts unixreviewtime createdat when watchedat ratedat "
        "clickedat eventtime",
        "rating": "rating ratings score stars overall ratingvalue",
        "title": "title name itemname itemtitle productname movietitle filmtitle",
        "text": "description text overview plot summary abstract synopsis",
        "picture": "picture image poster photo imagepath picturepath posterpath imagefile filename "
        "path",
        "tags": "tags genres categories keywords",
    }.items()
}
"""Names of columns, without case and signs, by what they hold."""


class Source(NamedTuple):
    """A table that was read."""

    columns: Mapping[str, "pa.ChunkedArray"]
    where: str
    """The file, or what stands for it in errors."""
    first_row: int
    """Number of the first row as a person counts."""


def read_source(
    table: Any, *, delimiter: str | None = None, columns: Sequence[str] | None = None
) -> Source:
    """All columns of a table; those of delimited files as strings.

    Args:
        table: path, DataFrame, Arrow table, or mapping from names to values.
        delimiter: of a delimited file, one character or several; None finds it in the first line.
        columns: names of all columns where a delimited file has no header line.

    Raises:
        DataError: the file is empty, damaged or not UTF-8, or columns differ in length.
        FileNotFoundError: there is no such file.
    """
    import pyarrow as pa

    if isinstance(table, str | Path):
        return _of_file(Path(table), delimiter, columns)
    if not isinstance(table, pa.Table):
        names = list(table.columns) if hasattr(table, "columns") else list(table)
        arrays = {str(name): _array(table[name], str(name)) for name in names}
        if len({len(array) for array in arrays.values()}) > 1:
            counts = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise DataError(f"the table's columns differ in length ({counts})")
        table = pa.table(arrays)
    return Source(dict(zip(table.column_names, table.columns, strict=True)), "the table", 0)


def _array(values: Any, name: str) -> "pa.Array":
    import pyarrow as pa

    plain = values.to_numpy() if hasattr(values, "to_numpy") else values
    if isinstance(plain, Iterable) and not hasattr(plain, "dtype"):
        plain = list(plain)
    try:
        return pa.array(plain, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(
            f"column {name}: {' '.join(str(error).split())}; give one kind of values"
        ) from error


def _of_file(path: Path, delimiter: str | None, columns: Sequence[str] | None) -> Source:
    import pyarrow as pa
    from pyarrow import json, parquet

    if path.is_dir():
        raise DataError(f"{path} is a folder; give the file of the table")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind == ".parquet" or kind in _JSON:
        reads = parquet.read_table if kind == ".parquet" else json.read_json
        try:
            table = reads(path)
        except pa.ArrowInvalid as error:
            text = " ".join(str(error).split())
            hint = "" if kind == ".parquet" else "; give one JSON object a line"
            raise DataError(f"{path}: {text}{hint}") from error
        return Source(dict(zip(table.column_names, table.columns, strict=True)), str(path), 1)
    atomic = kind in _ATOMIC
    delimiter = delimiter or ("\t" if atomic else guess_delimiter(path))
    quoting = not atomic and kind != ".tsv"
    names = list(columns) if columns else header(path, delimiter, quoting=quoting)
    table = read_table(
        path,
        dict.fromkeys(names, "string"),
        delimiter=delimiter,
        names=columns,
        nulls=True,
        quoting=quoting,
    )
    found = {name: table[name] for name in names}
    return Source(found, str(path), 1 if columns else 2)


def choose_column(
    source: Source, role: str, named: str | None, *, needed: bool = False
) -> str | None:
    """The column of `source` that holds `role`: the one that is named, or the one that looks so.

    Raises:
        DataError: no such column, several that look so, or none where one is needed.
    """
    there = ", ".join(source.columns)
    if named is not None:
        if named not in source.columns:
            raise DataError(f"{source.where}: no column {named}; found {there}")
        return named
    known = SPELLINGS[role]
    found = [name for name in source.columns if re.sub("[^a-z0-9]", "", name.lower()) in known]
    if len(found) > 1:
        raise DataError(
            f"{source.where}: the columns {', '.join(found)} all look like the {role}; say which "
            f"by {role}= (--{role})"
        )
    if needed and not found:
        raise DataError(
            f"{source.where}: no column looks like the {role}; say which of {there} by {role}= "
            f"(--{role})"
        )
    return found[0] if found else None


def as_text(source: Source, name: str) -> "pa.ChunkedArray":
    """A column as strings: whole numbers without a point, lists joined by commas; null stays.

    Raises:
        DataError: it holds what has no text, such as nested records.
    """
    import pyarrow as pa

    column = source.columns[name]
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_floating(kind):
        # What pandas makes of whole numbers where one of them is missing.
        values = column.drop_null().to_numpy()
        if (values == np.floor(values)).all():
            column = column.cast("int64")
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        rows = [None if row is None else ",".join(map(str, row)) for row in column.to_pylist()]
        return pa.chunked_array([pa.array(rows, pa.string())])
    try:
        return column.cast("string")
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise DataError(f"{source.where}, column {name}: {kind} is no text or number") from error
