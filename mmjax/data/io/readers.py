"""Reading files that a stranger hands in: plain formats only, and one clear error for a bad one."""

import gzip
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmjax.data.core.checks import DataError, check_matrix

if TYPE_CHECKING:
    import pyarrow as pa

PathLike = str | os.PathLike[str]


def read_npy(path: PathLike) -> np.ndarray:
    """The array in a `.npy` file; a file of pickled objects is refused.

    Raises:
        DataError: the file is empty, truncated, pickled, or no `.npy` file.
        FileNotFoundError: there is no such file.
    """
    try:
        # Opened here, because `np.load` leaves the file open when it finds it damaged.
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(_array_fault(path, error)) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: an archive of arrays, not one; save the array with numpy.save")
    return array


def read_features(path: PathLike) -> np.ndarray:
    """A feature matrix from a `.npy` file of float16, float32 or float64, as float32.

    Raises:
        DataError: another dtype, or see `read_npy`.
        FileNotFoundError: there is no such file.
    """
    return as_features(read_npy(path), where=str(path))


def as_features(array: np.ndarray, *, where: str) -> np.ndarray:
    """A float16, float32 or float64 matrix as float32; values beyond float32's range become inf.

    Raises:
        DataError: another dtype, or no matrix.
    """
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise DataError(f"{where}: dtype {array.dtype}; save as float16, float32 or float64")
    check_matrix(array, where=where)
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def read_npz(path: PathLike, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays `keys` (default: all) in a `.npz` file; pickled objects are refused.

    Raises:
        DataError: the file is empty, truncated, pickled, no `.npz` file, or lacks a key.
        FileNotFoundError: there is no such file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            wanted = list(archive.files if keys is None else keys)
            missing = [key for key in wanted if key not in archive.files]
            if missing:
                raise DataError(
                    f"{path}: no array {', '.join(missing)}; it holds "
                    f"{', '.join(archive.files) or 'nothing'}"
                )
            return {key: archive[key] for key in wanted}
    except (ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile, TypeError) as error:
        if isinstance(error, DataError | FileNotFoundError | PermissionError):
            raise
        raise DataError(_array_fault(path, error)) from error


def _array_fault(path: PathLike, error: Exception) -> str:
    if os.path.getsize(path) == 0:
        return f"{path}: the file is empty; copy or make it again"
    if "pickle" in str(error):
        return (
            f"{path}: holds pickled Python objects, or is no NumPy file; unpickling can run any "
            "code and is never done here: save plain numbers, for example "
            "numpy.save(path, numpy.stack(rows).astype(numpy.float32))"
        )
    return f"{path}: truncated or damaged ({error}); copy or make it again"


def read_table(
    path: PathLike,
    types: Mapping[str, str],
    *,
    optional: Mapping[str, str] | None = None,
    delimiter: str = "\t",
    names: Sequence[str] | None = None,
    nulls: bool = False,
    remedy: str = "",
) -> "pa.Table":
    """Columns of a delimited text file (UTF-8, plain or `.gz`), typed.

    Args:
        types: column -> Arrow type ("int64", "float64", "string") of the columns to read.
        optional: the same for columns that are read if present.
        names: column names where the file has no header line.
        nulls: whether empty or NaN entries may occur.
        remedy: what to do when a column is missing, for the error.

    Raises:
        DataError: the file is empty, truncated, not UTF-8, lacks a column, has a row of the wrong
            length or an entry of the wrong type; named with its row (the first line is row 1).
        FileNotFoundError: there is no such file.
    """
    import pyarrow as pa
    from pyarrow import csv

    columns = list(names) if names else [strip_type(name) for name in header(path, delimiter)]
    missing = [name for name in types if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(columns)}"
            + (f"; {remedy}" if remedy else "")
        )
    wanted = {**types, **{k: v for k, v in (optional or {}).items() if k in columns}}
    try:
        with open(path, "rb") as raw:
            table = csv.read_csv(
                gzip.GzipFile(fileobj=raw) if _zipped(path) else raw,
                # One thread, because only then do errors tell the row.
                read_options=csv.ReadOptions(
                    use_threads=False, column_names=columns, skip_rows=0 if names else 1
                ),
                parse_options=csv.ParseOptions(delimiter=delimiter),
                convert_options=csv.ConvertOptions(
                    column_types={name: pa.type_for_alias(kind) for name, kind in wanted.items()},
                    include_columns=list(wanted),
                ),
            )
    except (pa.ArrowInvalid, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {_table_fault(error)}") from error
    if not table.num_rows:
        raise DataError(f"{path}: no rows below the header; the file is truncated or empty")
    for name in wanted:
        if table[name].null_count and not nulls:
            row = int(np.argmax(table[name].is_null().to_numpy())) + (1 if names else 2)
            raise DataError(f"{path}, row {row}: no {name}; fill it in or remove the row")
    return table


def header(path: PathLike, delimiter: str) -> list[str]:
    """Names in the first line of a delimited text file (UTF-8, plain or `.gz`).

    Raises:
        DataError: the file is empty, truncated or not UTF-8.
        FileNotFoundError: there is no such file.
    """
    try:
        with gzip.open(path) if _zipped(path) else open(path, "rb") as file:
            line = file.readline(1 << 20).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {_table_fault(error)}") from error
    if not line:
        raise DataError(f"{path}: the file is empty, or its first line is; copy or make it again")
    return [name.strip().strip('"') for name in line.split(delimiter)]


def strip_type(name: str) -> str:
    """A column name without RecBole's type: "userID:token" -> "userID"."""
    return name.split(":")[0]


def _zipped(path: PathLike) -> bool:
    return Path(path).suffix == ".gz"


def _table_fault(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return f"truncated or damaged archive ({text}); copy or make it again"
    if "UTF8" in text or "utf-8" in text.lower():
        return f"not UTF-8 text ({text}); save it as UTF-8"
    if "Expected" in text and "columns" in text:
        return f"{text}; the line is cut off or has a stray delimiter: correct it or copy it again"
    return f"{text}; correct the entry"
