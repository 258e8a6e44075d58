"""Data sets by name: prepared once by tensorflow-datasets, then opened as memory-mapped arrays."""

import hashlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Literal, overload

from mmjax.data import registry
from mmjax.data.core.captioned import CaptionedImages
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions, sorted_by_user
from mmjax.data.core.passages import Passages
from mmjax.data.core.sequences import Sequences, from_interactions
from mmjax.data.formats.mmrec import ITEM_MAP, USER_MAP
from mmjax.data.io.cache import open_arrays, save_arrays
from mmjax.data.io.files import atomic_directory, remove_directory, remove_leftovers
from mmjax.data.io.readers import PathLike
from mmjax.data.sets.common.source import InteractionSource, Kind

_HOUR = 3600.0
VARIABLE = "MMJAX_DATA"
"""Environment variable that names the default `data_dir`."""


@overload
def load(
    name: str,
    *,
    kind: Literal["interactions"],
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> Interactions: ...
@overload
def load(
    name: str,
    *,
    kind: Literal["sequences"],
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> Sequences: ...
@overload
def load(
    name: str,
    *,
    kind: Literal["captioned"],
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> CaptionedImages: ...
@overload
def load(
    name: str,
    *,
    kind: Literal["passages"],
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> Passages: ...
@overload
def load(
    name: str,
    *,
    kind: Kind | None = None,
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> Any: ...
def load(
    name: str,
    *,
    kind: Kind | None = None,
    data_dir: PathLike | None = None,
    manual_dir: PathLike | None = None,
    allow_missing_features: bool = False,
) -> Interactions | Sequences | CaptionedImages | Passages:
    """The data set called `name`, in its published split where it has one.

    Captioned images and passages are read from their files. For interactions and sequences, whose
    rows come sorted by user, the first call prepares a cache: the source files are checked,
    written as a TFDS data set (ArrayRecord) and cached as plain arrays. Later calls map these
    into memory and check their hashes; what is damaged, or older than its source files, is made
    again. Where the cache cannot be written (no right, no space, no array_record on this
    platform), the source files are read directly, with a warning.

    Args:
        name: one of `mmjax.data.names()`, see `mmjax.data.listing()`. Most ship with mmjax; the
            files of the others are read from `manual_dir`.
        kind: "interactions", "sequences", "captioned" or "passages"; None takes the data set's
            own. Sequences also load as interactions, split leave-one-out.
        data_dir: where to cache; default the environment variable MMJAX_DATA, or else
            ``~/.cache/mmjax``.
        manual_dir: the folder with a data set's own files, or the one above it; default
            ``<data_dir>/manual``.
        allow_missing_features: go on without a modality whose file is missing.

    Raises:
        ValueError: no data set of that name, or none that loads as `kind`.
        FileNotFoundError: files are missing; the message says which, from where, put where.
        DataError: a file is bad; the message names it, the row, and the remedy.
    """
    source = registry.find(name, kind)
    root = _data_dir(data_dir)
    directory = source.directory(Path(manual_dir or root / "manual").expanduser())
    if not isinstance(source, InteractionSource):
        return source.read(directory)
    if not source.shipped:
        source.require(directory, allow_missing_features)
    data = _cached(source, directory, root)
    return from_interactions(data) if (kind or source.kind) == "sequences" else data


def _cached(source: InteractionSource, directory: Path, root: Path) -> Interactions:
    """The data set from its cache, which is made where it is missing or damaged."""
    entry = root / source.name / _key(source, directory)
    remove_leftovers(entry, older_than=_HOUR)
    damaged = False
    try:
        return open_arrays(entry / "arrays")
    except FileNotFoundError:
        print(f"mmjax: preparing {source.name} in {entry} (once)", file=sys.stderr)
    except DataError as error:
        damaged = True
        _warn(f"{error}; making the cache again")
    try:
        if damaged:
            remove_directory(entry / "arrays")
        return _prepare(source, directory, entry)
    except (OSError, ImportError) as error:
        _warn(f"cannot write the cache ({error}); reading the files of {source.name} directly")
        return sorted_by_user(source.read(directory))


def _prepare(source: InteractionSource, directory: Path, entry: Path) -> Interactions:
    """Make what is missing of the two stages, files -> TFDS -> arrays, and open the last."""
    # Here, because a data set that is cached needs no tensorflow-datasets.
    from mmjax.data.sets.common.interactions_builder import (
        InteractionsBuilder,
        prepare,
        read_prepared,
    )

    builder = registry.builder(source.name)
    assert issubclass(builder, InteractionsBuilder)
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


def _data_dir(data_dir: PathLike | None) -> Path:
    chosen = data_dir or os.environ.get(VARIABLE) or Path.home() / ".cache" / "mmjax"
    return Path(chosen).expanduser().absolute()


def _key(source: InteractionSource, directory: Path) -> str:
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
    warnings.warn(f"mmjax.data: {message}", stacklevel=4)
