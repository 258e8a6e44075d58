"""Folders in the MMRec format, as users of that family already own them.

`<name>.inter` (tab-separated, optionally `.gz`; columns userID, itemID, x_label with 0 train,
1 valid, 2 test), any number of `<modality>_feat.npy` (row = itemID), and optionally
`u_id_mapping.csv` and `i_id_mapping.csv` (raw id and index).

Axes: e interactions, i items, d features.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int8, Int32

from mmjax.data.core.checks import DataError, check_duplicates, check_ids
from mmjax.data.core.interactions import SPLITS, Interactions, validate
from mmjax.data.core.splits import (
    needs_time,
    partition,
    split_labels,
    split_name,
    times_by_split,
)
from mmjax.data.formats.catalogue_files import read_catalogue, write_catalogue
from mmjax.data.io.files import atomic_path
from mmjax.data.io.readers import PathLike, read_features
from mmjax.data.io.tables import header, read_table
from mmjax.data.io.times import parse_times

if TYPE_CHECKING:
    import pyarrow as pa

FEATURE_SUFFIX = "_feat.npy"
USER_MAP, ITEM_MAP = "u_id_mapping.csv", "i_id_mapping.csv"

_INDEX_NAMES = {"userid", "itemid", "uid", "iid", "index", "idx", "user_idx", "item_idx"}
_FIRST_ROW = 2
_MOST_MISSING, _MOST_SHARE = 1_000_000, 10
_MAP_FIRST = "map them first: python -m experiments prepare FILE --out FOLDER"


def load_mmrec(
    directory: PathLike,
    *,
    name: str | None = None,
    split: str | None = None,
    seed: int = 0,
    user: str = "userID",
    item: str = "itemID",
    label: str = "x_label",
    timestamp: str = "timestamp",
) -> Interactions:
    """Read a folder in the MMRec format: interactions, every `*_feat.npy`, raw ids if present.

    What `save_mmrec` and `mmjax.data.prepare` keep beside these files comes back too: titles,
    texts, pictures, attributes, times and the true name of the split. There are as many items as
    the largest of: highest item id + 1, rows of the features, highest index in the id map + 1. So
    items that have features but no interaction count, and are candidates of the ranking; MMRec
    itself would stop at the highest id. Users likewise.

    Args:
        directory: the folder.
        name: which `<name>.inter` to read where there are several.
        split: None keeps the split of the label column, called by its name in `dataset.json` or
            else "mmrec"; otherwise the name of a fresh split (see `mmjax.data.core.splits`) drawn
            with `seed`.
        user, item, label, timestamp: names of the columns, without RecBole's ":type".

    Warns:
        UserWarning: ids have gaps, so that most users or items have no row.

    Raises:
        DataError: a file is bad; the message names it, the row, and the remedy.
        FileNotFoundError: there is no such folder, or no `.inter` file in it.
    """
    folder = Path(directory)
    path = _inter_file(folder, name)
    stem = path.name.removesuffix(".gz").removesuffix(".inter")
    features, kept = read_features_of(folder), read_catalogue(folder)
    ids = read_ids_of(folder) if kept is None else kept
    pairs, labels, times = _timed(
        path, user, item, label if split is None else None, timestamp, split
    )
    if split is not None:
        labels = split_labels(split, pairs[:, 0], times, item=pairs[:, 1], seed=seed)
    highest = pairs.max(axis=0).tolist()
    counts = [0 if (x := ids[name]) is None else len(x) for name in ("user_ids", "item_ids")]
    fields = {"name": stem, "split": "mmrec", "source": str(folder), **ids, **(kept or {})}
    fields["n_users"] = max(highest[0] + 1, counts[0])
    fields["n_items"] = max(highest[1] + 1, counts[1], *map(len, features.values()))
    if kept is None:
        _check_gaps(path, pairs, fields["n_users"], fields["n_items"], counts, bool(features))
    else:
        fields.pop("kind")
        fields |= {name: kept[name] for name in ("n_users", "n_items")}
    if split is not None:
        fields["split"] = split_name(split, seed)
    data = Interactions(
        **fields,
        **dict(zip(SPLITS, partition(pairs, labels), strict=True)),
        features=features,
        times={} if times is None else times_by_split(times, labels),
    )
    names = {f"features/{key}": str(folder / f"{key}{FEATURE_SUFFIX}") for key in features}
    names |= {split_: f"{path} ({split_})" for split_ in SPLITS}
    return validate(
        data, names=names | {"user_ids": str(folder / USER_MAP), "item_ids": str(folder / ITEM_MAP)}
    )


def _timed(
    path: Path, user: str, item: str, label: str | None, timestamp: str, split: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`read_inter`, without times where these are bad and the split does not go by them."""
    try:
        return read_inter(path, user=user, item=item, label=label, timestamp=timestamp)
    except DataError as error:
        if f"column {timestamp}" not in str(error) or (split is not None and needs_time(split)):
            raise
        found = read_inter(path, user=user, item=item, label=label)
        warnings.warn(f"{error}; going on without times", stacklevel=3)
        return found


def _check_gaps(
    path: Path,
    pairs: np.ndarray,
    n_users: int,
    n_items: int,
    named: list[int],
    features: bool,
) -> None:
    """Warn of ids with gaps, which make users and items that do not exist, or refuse them.

    Raises:
        DataError: so many that an id is no index but a raw id.
    """
    known = (bool(named[0]), bool(named[1]) or features)
    for column, (what, count) in enumerate((("user", n_users), ("item", n_items))):
        if known[column]:
            continue
        missing = count - len(np.unique(pairs[:, column]))
        if missing > _MOST_MISSING and missing > _MOST_SHARE * len(pairs):
            row = int(np.argmax(pairs[:, column])) + _FIRST_ROW
            raise DataError(
                f"{path}, row {row}: {what} {count - 1:,} would make {count:,} {what}s of "
                f"{count - missing:,}; {_MAP_FIRST}"
            )
        if 2 * missing > count:
            warnings.warn(
                f"{path}: {missing:,} of {count:,} {what}s have no row; the ids have gaps, "
                f"{_MAP_FIRST}",
                stacklevel=3,
            )


def read_features_of(folder: Path) -> dict[str, np.ndarray]:
    """Modality -> float32 ``[i d]`` of every `<modality>_feat.npy` in a folder.

    Raises:
        DataError: a file is bad, or they disagree on the number of rows.
    """
    features = {
        file.name.removesuffix(FEATURE_SUFFIX): read_features(file)
        for file in sorted(folder.glob(f"*{FEATURE_SUFFIX}"))
    }
    if len({len(array) for array in features.values()}) > 1:
        counts = ", ".join(f"{key}{FEATURE_SUFFIX} {len(a)}" for key, a in features.items())
        raise DataError(
            f"{folder}: the feature files disagree on the number of items ({counts}); row i must "
            "hold item i in each, so make them from the same list of items"
        )
    return features


def read_ids_of(folder: Path) -> dict[str, np.ndarray | None]:
    """Raw ids by index, `user_ids` and `item_ids`, from the id maps in a folder, or None.

    Raises:
        DataError: an id map is bad.
    """
    files = {"user_ids": folder / USER_MAP, "item_ids": folder / ITEM_MAP}
    return {name: read_id_map(path) if path.exists() else None for name, path in files.items()}


def read_inter(
    path: PathLike,
    *,
    user: str = "userID",
    item: str = "itemID",
    label: str | None = "x_label",
    timestamp: str | None = None,
) -> tuple[Int32[np.ndarray, "e 2"], Int8[np.ndarray, "e"], np.ndarray | None]:
    """Pairs, split labels (0, 1, 2) and timestamps of an `.inter` file, in the order of the file.

    Labels are all 0 when `label` is None; timestamps are None when `timestamp` is None or names
    no column of the file.

    Raises:
        DataError: a column is missing, an entry is no number, an id is negative, a label is not
            0, 1 or 2, a (user, item) pair occurs twice, or the file is truncated or not UTF-8.
        FileNotFoundError: there is no such file.
    """
    types = {user: "int64", item: "int64"} | ({label: "int64"} if label else {})
    table = read_table(
        path,
        types,
        optional={timestamp: "string"} if timestamp else None,
        # As MMRec and RecBole write and read these files.
        quoting=False,
        remedy="name the columns by the arguments user, item and label"
        + (", or draw a fresh split by the argument split" if label else ""),
    )
    ids = [table[name].to_numpy() for name in (user, item)]
    for name, column in zip((user, item), ids, strict=True):
        check_ids(column, where=str(path), what=name, count=2**31 - 1, first_row=_FIRST_ROW)
    check_duplicates(*ids, where=str(path), first_row=_FIRST_ROW)
    labels = np.zeros(len(ids[0]), np.int8)
    if label:
        column = table[label].to_numpy()
        bad = (column < 0) | (column > 2)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"{path}, row {row + _FIRST_ROW}: {label} {column[row]}; give 0 for train, 1 for "
                "validation or 2 for test"
            )
        labels = column.astype(np.int8)
    times = None
    if timestamp is not None and timestamp in table.column_names:
        where = f"{path}, column {timestamp}"
        times, there = parse_times(table[timestamp], where=where, first_row=_FIRST_ROW)
        if not there.all():
            row = int(np.argmin(there)) + _FIRST_ROW
            raise DataError(f"{where}, row {row}: no time; fill it in or remove the column")
    return np.stack(ids, axis=1).astype(np.int32), labels, times


def read_id_map(path: PathLike) -> np.ndarray:
    """Raw ids by index, strings ``[n]``, from a file of two columns, index and raw id.

    Tabs or commas separate; the column of indices is known by its name (userID, itemID) or else
    by holding each of 0..n-1 once.

    Raises:
        DataError: no column, or two, could be the indices; an index is missing or repeated.
    """
    delimiter = "\t" if len(header(path, "\t")) > 1 else ","
    # A column without a name is what pandas writes when it saves its row numbers.
    columns = [name for name in header(path, delimiter) if name]
    if len(columns) != 2:
        raise DataError(
            f"{path}: {len(columns)} columns ({', '.join(columns)}); an id map has two, an index "
            "and a raw id"
        )
    table = read_table(path, dict.fromkeys(columns, "string"), delimiter=delimiter)
    texts = {name: np.array(table[name].to_pylist()) for name in columns}
    named = [name for name in columns if name.lower() in _INDEX_NAMES]
    candidates = named or [name for name in columns if _permutation(texts[name]) is not None]
    if len(candidates) != 1:
        raise DataError(
            f"{path}: cannot tell the index from the raw id in columns {', '.join(columns)}; call "
            "the column of indices userID or itemID"
        )
    index = _permutation(texts[candidates[0]])
    if index is None:
        raise DataError(
            f"{path}: column {candidates[0]} must hold each index 0..{table.num_rows - 1} once; "
            "complete it or remove the file"
        )
    raw = next(name for name in columns if name != candidates[0])
    return texts[raw][index]


def save_mmrec(data: Interactions, directory: PathLike) -> None:
    """Write a data set as a folder in the MMRec format (see `load_mmrec`), each file in one step.

    MMRec itself reads the interactions, features and id maps; `load_mmrec` gives the same data set
    back whole, with titles, texts, tags, attributes, times and the name of the split.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    import pyarrow as pa

    folder = Path(directory)
    pairs = np.concatenate([data.pairs(split) for split in SPLITS])
    labels = np.repeat(np.arange(3), [len(data.pairs(split)) for split in SPLITS])
    columns = {"userID": pairs[:, 0], "itemID": pairs[:, 1], "x_label": labels}
    if data.times:
        columns["timestamp"] = np.concatenate([data.times[split] for split in SPLITS])
    table = pa.table(columns)
    with atomic_path(folder / f"{data.name}.inter") as path:
        _write_table(table, path)
    for name, array in data.features.items():
        with atomic_path(folder / f"{name}{FEATURE_SUFFIX}") as path:
            np.save(path, array)
    for file, raw, index, ids in (
        (USER_MAP, "user_id", "userID", data.user_ids),
        (ITEM_MAP, "item_id", "itemID", data.item_ids),
    ):
        if ids is not None:
            table = pa.table({raw: ids.astype(str).tolist(), index: np.arange(len(ids))})
            with atomic_path(folder / file) as path:
                _write_table(table, path)
    write_catalogue(data, folder, kind="interactions")


def _permutation(column: np.ndarray) -> np.ndarray | None:
    """The rows in the order of the indices 0..n-1 in `column`; None if these are not there."""
    try:
        values = column.astype(np.int64)
    except (ValueError, OverflowError):
        return None
    order = np.argsort(values, kind="stable")
    return order if np.array_equal(values[order], np.arange(len(column))) else None


def _write_table(table: "pa.Table", path: Path) -> None:
    from pyarrow import csv

    with open(path, "wb") as file:
        # Arrow would put quotes around the names, which simpler readers do not expect.
        file.write(("\t".join(table.column_names) + "\n").encode())
        csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter="\t"))


def _inter_file(folder: Path, name: str | None) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the folder of the .inter file")
    there = sorted([*folder.glob("*.inter"), *folder.glob("*.inter.gz")])
    if name is not None:
        chosen = [path for path in there if path.name.split(".inter")[0] == name]
    else:
        chosen = there
    if not chosen:
        raise FileNotFoundError(
            f"{folder}: no {name or '<name>'}.inter; it holds "
            f"{', '.join(path.name for path in there) or 'no .inter file'}"
        )
    if len(chosen) > 1:
        raise DataError(
            f"{folder}: which of {', '.join(path.name for path in chosen)}? say so by the argument "
            "name, and keep one of .inter and .inter.gz"
        )
    return chosen[0]
