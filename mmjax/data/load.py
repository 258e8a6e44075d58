"""Data sets by name: prepared once by tensorflow-datasets, then opened as memory-mapped arrays."""

import hashlib
import importlib
import os
import sys
import warnings
from pathlib import Path

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions
from mmjax.data.core.sequences import Sequences, from_interactions
from mmjax.data.core.source import (
    NAMES,
    Source,
    get_source,
    locate,
    package_directory,
    sorted_by_user,
)
from mmjax.data.formats.mmrec import ITEM_MAP, USER_MAP
from mmjax.data.io.cache import open_arrays, save_arrays
from mmjax.data.io.files import atomic_directory, remove_directory, remove_leftovers
from mmjax.data.io.readers import PathLike

_HOUR = 3600.0
VARIABLE = "MMJAX_DATA"
"""Environment variable that names the default `data_dir`."""


def load(
    name: str,
    *,
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> Interactions:
    """The data set called `name` in its published split, rows sorted by user.

    The first call prepares it: the source files are checked, written as a TFDS data set
    (ArrayRecord) and cached as plain arrays. Later calls map these into memory and check their
    hashes; what is damaged, or older than its source files, is made again. Where the cache cannot
    be written (no right, no space, no array_record on this platform), the source files are read
    directly, with a warning.

    Args:
        name: "lastfm_2k", "tiktok", "ml_small_mm", "amazon_beauty" and "amazon_toys" ship with
            mmjax; "amazon_baby", "amazon_sports" and "amazon_clothing" are read from
            `manual_dir`.
        data_dir: where to cache; default the environment variable MMJAX_DATA, or else
            ``~/.cache/mmjax``.
        manual_dir: the folder with a data set's own files, or the one above it; default
            ``<data_dir>/manual``.
        allow_missing_features: go on without a modality whose file is missing.

    Raises:
        ValueError: no data set of that name.
        FileNotFoundError: files are missing; the message says which, from where, put where.
        DataError: a file is bad; the message names it, the row, and the remedy.
    """
    source = get_source(name)
    root = _data_dir(data_dir)
    directory = package_directory(source)
    if not source.shipped:
        directory = locate(source, Path(manual_dir or root / "manual").expanduser())
        source.require(directory, allow_missing_features)
    entry = root / source.name / _key(source, directory)
    remove_leftovers(entry, older_than=_HOUR)
    damaged = False
    try:
        return open_arrays(entry / "arrays")
    except FileNotFoundError:
        print(f"mmjax: preparing {name} in {entry} (once)", file=sys.stderr)
    except DataError as error:
        damaged = True
        _warn(f"{error}; making the cache again")
    try:
        if damaged:
            remove_directory(entry / "arrays")
        return _prepare(source, directory, entry)
    except (OSError, ImportError) as error:
        _warn(f"cannot write the cache ({error}); reading the files of {name} directly")
        return sorted_by_user(source.read(directory))


def load_sequences(name: str, *, data_dir: PathLike | None = None) -> Sequences:
    """The data set called `name` as one sequence per user, in the order of time; see `load`.

    Args:
        name: "amazon_beauty" or "amazon_toys".
        data_dir: where to cache.

    Raises:
        ValueError: no data set of that name, or one whose rows have no order in time.
        DataError: a file is bad.
    """
    if not get_source(name).ordered:
        ordered = ", ".join(other for other in NAMES if get_source(other).ordered)
        raise ValueError(
            f"{name} has no order in time; choose {ordered}, or read your own file by "
            "mmjax.data.load_sequences_csv"
        )
    return from_interactions(load(name, data_dir=data_dir))


def _prepare(source: Source, directory: Path, entry: Path) -> Interactions:
    """Make what is missing of the two stages, files -> TFDS -> arrays, and open the last."""
    module = f"mmjax.data.sets.{source.name}.{source.name}_dataset_builder"
    builder = importlib.import_module(module).Builder
    from mmjax.data.io.builder import prepare, read_prepared

    tables, arrays = entry / "tfds", entry / "arrays"
    data = None
    if tables.exists():
        try:
            data = read_prepared(builder, tables)
        except DataError as error:
            _warn(f"{error}; preparing {source.name} again")
            remove_directory(tables)
    if data is None:
        fresh = sorted_by_user(source.read(directory))
        with atomic_directory(tables) as temporary:
            prepare(builder, fresh, temporary)
        _remove_older(entry)
        data = read_prepared(builder, tables)
    save_arrays(data, arrays)
    return open_arrays(arrays)


def _data_dir(given: PathLike | None) -> Path:
    chosen = given or os.environ.get(VARIABLE) or Path.home() / ".cache" / "mmjax"
    return Path(chosen).expanduser().absolute()


def _key(source: Source, directory: Path) -> str:
    """Name of the cache entry: where the source files lie, and a fingerprint of them."""
    state = [source.version, *source.shipped.values()]
    if source.shipped:
        return f"shipped-{_hash(state)}"
    # Hashing the user's files at each call would take longer than reading the cache.
    for file in (*source.interactions, *source.feature_files, USER_MAP, ITEM_MAP):
        if (directory / file).exists():
            status = (directory / file).stat()
            state += [file, str(status.st_size), str(status.st_mtime_ns)]
    return f"{_hash([str(directory.resolve())])}-{_hash(state)}"


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _remove_older(entry: Path) -> None:
    """Remove what was prepared from an earlier state of the same folder of the user."""
    place = entry.name.split("-")[0]
    if place != "shipped":
        for other in entry.parent.glob(f"{place}-*"):
            if other != entry:
                remove_directory(other)


def _warn(message: str) -> None:
    warnings.warn(f"mmjax.data: {message}", stacklevel=3)
