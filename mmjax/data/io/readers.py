"""Reading files that a stranger hands in: plain formats only, and one clear error for a bad one."""

import os
import zipfile
import zlib
from collections.abc import Iterable

import numpy as np

from mmjax.data.core.checks import DataError, check_matrix

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
