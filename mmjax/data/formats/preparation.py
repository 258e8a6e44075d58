"""A user's own tables as a data set: one call from raw rows to a folder that every command takes.

The folder holds, each file written whole or not at all:

`<name>.inter`       a row an interaction, tab-separated: `userID`, `itemID` (numbers from 0),
                     `x_label` (0 train, 1 validation, 2 test), `timestamp` where there are times.
`<modality>_feat.npy`  float32, row i is item i.
`u_id_mapping.csv`, `i_id_mapping.csv`  number and raw id, tab-separated.
`users.parquet`, `items.parquet`  raw ids, titles, texts, tags, pictures, attributes.
`dataset.json`       name of the split, what was dropped and why.

MMRec reads the first three. `mmjax.data.load_mmrec(folder)` gives back all of it.

Axes: e interactions, i items, d features.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mmjax.data.core.catalogue import Attribute, attribute_of
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions, validate
from mmjax.data.core.splits import (
    needs_time,
    partition,
    split_labels,
    split_name,
    times_by_split,
)
from mmjax.data.formats.events import Events, clean
from mmjax.data.formats.mmrec import save_mmrec
from mmjax.data.formats.raw_tables import Source, as_text, choose_column, read_source
from mmjax.data.io.files import atomic_directory
from mmjax.data.io.readers import PathLike, as_features, read_npy
from mmjax.data.io.times import without_empty

Missing = Literal["zero", "mean"]
"""Rules for the vectors of items without a text or picture: zeros, or the mean of the others."""
Encode = Callable[[list[Any]], np.ndarray]
"""From texts, or paths of pictures, to a vector each; a text encoder's `encode`."""


def prepare(
    table: Any,
    *,
    out: PathLike | None = None,
    name: str | None = None,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
    min_rating: float | None = None,
    k_core: int = 5,
    split: str = "mmrec",
    seed: int = 0,
    items: Any = None,
    key: str | None = None,
    title: str | None = None,
    text: Sequence[str] = (),
    picture: str | None = None,
    tags: str | None = None,
    attributes: Sequence[str] = (),
    pictures: PathLike | None = None,
    features: Mapping[str, np.ndarray | PathLike] | None = None,
    encode: Mapping[str, Encode] | None = None,
    missing: Missing = "zero",
) -> Interactions:
    """The data set of a table of interactions and perhaps one of items; see the module's head.

    Columns that are not named are known by common spellings (`raw_tables.SPELLINGS`). Rows without
    a user, item, rating (where there is such a column) or time are dropped, repeated pairs but the
    earliest, and what is outside the k-core; `provenance["dropped"]` counts them by reason.

    Args:
        table: DataFrame, Arrow table, mapping of columns, or a path: CSV, TSV or any delimiter,
            Parquet, JSON lines, RecBole's atomic file; `.gz` too.
        out: folder to write; None writes nothing.
        name: of the data set; None takes the file's.
        user, item, time, rating: columns of `table`. Times are numbers or ISO dates.
        delimiter, columns: of a delimited file, see `raw_tables.read_source`.
        min_rating: drop ratings below this one.
        k_core: smallest number of interactions of a user and of an item; 0 or 1 keeps all.
        split, seed: see `mmjax.data.core.splits`; "none" keeps all for training.
        items: the table of items; rows of items without interaction are left out.
        key: its column of raw ids.
        title, text, picture, tags, attributes: its columns; several texts are joined.
        pictures: folder in which relative paths of pictures lie; default that of `items`.
        features: modality -> vectors ``[rows of items, d]``, or the path of a `.npy` file.
        encode: modality -> encoder; "text" reads titles and texts, "image" the pictures, another
            name the column of that name.
        missing: rule for items without what is encoded; `absent` keeps which they are.

    Raises:
        DataError: bad or ambiguous columns, a bad row, a split by time without times, an item
            twice, or nothing left; named with the remedy.
        FileNotFoundError: there is no such file.
        ValueError: no such split or rule, or `min_rating` without a rating column.
    """
    if missing not in get_args(Missing):
        raise ValueError(f"missing = {missing!r}; choose from {', '.join(get_args(Missing))}")
    if out is not None:
        check_new(Path(out))
    source = read_source(table, delimiter=delimiter, columns=columns)
    roles = {
        role: choose_column(source, role, named, needed=role in ("user", "item"))
        for role, named in (("user", user), ("item", item), ("time", time), ("rating", rating))
    }
    if min_rating is not None and roles["rating"] is None:
        raise ValueError("min_rating needs a rating column; name it by rating= (--rating)")
    if needs_time(split) and roles["time"] is None:
        raise DataError(
            f"{source.where}: split {split!r} goes by time; name the column by time= (--time) or "
            "choose random-8:1:1"
        )
    described = None if items is None else read_source(items)
    events = clean(
        _typed(source, roles),
        where=source.where,
        min_rating=min_rating,
        k_core=k_core,
        first_row=source.first_row,
    )
    pairs = np.stack([events.user, events.item], 1).astype(np.int32)
    labels = split_labels(split, events.user, events.time, item=events.item, seed=seed)
    data = Interactions(
        name=name or (Path(source.where).name.split(".")[0] if source.first_row else "own"),
        split=split_name(split, seed),
        n_users=len(events.user_ids),
        n_items=len(events.item_ids),
        **dict(zip(SPLITS, partition(pairs, labels), strict=True)),
        user_ids=events.user_ids,
        item_ids=events.item_ids,
        times={} if events.time is None else times_by_split(events.time, labels),
        source=source.where,
        provenance={
            "rows": len(source.columns[roles["user"] or ""]),
            "dropped": dict(events.dropped),
            "columns": {role: column for role, column in roles.items() if column},
        },
        **_described(
            events,
            described,
            {"item": key, "title": title, "picture": picture, "tags": tags},
            text=text,
            attributes=attributes,
            folder=_folder(pictures, items),
            features=features or {},
            encode=encode or {},
            missing=missing,
        ),
    )
    validate(data)
    if out is not None:
        with atomic_directory(Path(out)) as folder:
            save_mmrec(data, folder)
    return data


def check_new(out: Path) -> None:
    """Refuse a folder that cannot be written or would be written over, before any work.

    Raises:
        DataError: it is there and not empty, a file, or its place cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} is there and not empty; choose another folder, or remove it")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {out} ({error}); choose another folder") from error
    if not os.access(out.absolute().parent, os.W_OK):
        raise DataError(f"cannot write {out}: no right to write in {out.absolute().parent}")


def _typed(source: Source, roles: Mapping[str, str | None]) -> dict[str, Any]:
    import pyarrow as pa

    found: dict[str, Any] = {}
    for role, column in roles.items():
        if column is None:
            continue
        if role == "time":
            found[role] = source.columns[column]
        elif role == "rating":
            found[role] = _numbers(source, column)
        else:
            found[role] = as_text(source, column)
    return {
        role: x if isinstance(x, pa.ChunkedArray) else pa.chunked_array([x])
        for role, x in found.items()
    }


def _numbers(source: Source, name: str) -> Any:
    """A column as float64; empty entries are null."""
    import pyarrow as pa

    column = without_empty(source.columns[name])
    try:
        return column.cast("float64")
    except pa.ArrowInvalid as error:
        for row, entry in enumerate(column.to_pylist()):
            try:
                float(entry or 0)
            except ValueError:
                raise DataError(
                    f"{source.where}, row {row + source.first_row}: the rating {entry!r} in {name} "
                    "is no number; correct it, or name another column by rating= (--rating)"
                ) from error
        raise


def _folder(pictures: PathLike | None, items: Any) -> Path:
    if pictures is not None:
        return Path(pictures)
    return Path(items).parent if isinstance(items, str | Path) else Path()


def _described(
    events: Events,
    source: Source | None,
    named: Mapping[str, str | None],
    *,
    text: Sequence[str],
    attributes: Sequence[str],
    folder: Path,
    features: Mapping[str, np.ndarray | PathLike],
    encode: Mapping[str, Encode],
    missing: Missing,
) -> dict[str, Any]:
    """Fields of the catalogue from the table of items."""
    if source is None:
        asked = [*(k for k, v in named.items() if v), *text, *attributes, *features, *encode]
        if asked:
            raise DataError(f"{', '.join(asked)}: give the table of items by items= (--items)")
        return {}
    if "id" in source.columns and named["item"] is None and "item" not in source.columns:
        named = {**named, "item": "id"}
    keys = as_text(source, choose_column(source, "item", named["item"], needed=True) or "")
    place = _rows_of(events.item_ids, keys.to_pylist(), source)
    picked = {
        role: choose_column(source, role, named[role]) for role in ("title", "picture", "tags")
    }
    written = [c for c in text if choose_column(source, "text", c)] or [
        column for column in (choose_column(source, "text", None),) if column
    ]

    def column(name: str | None) -> list[str]:
        """A column by item, "" where there is nothing."""
        if name is None:
            return [""] * len(place)
        entries = as_text(source, name).to_pylist()
        return [(entries[row] or "").strip() if row >= 0 else "" for row in place]

    fields: dict[str, Any] = {}
    titles, texts = column(picked["title"]), [column(name) for name in written]
    if picked["title"]:
        shown = [t or str(i) for t, i in zip(titles, events.item_ids, strict=True)]
        fields["titles"] = np.array(shown, str)
    if written:
        fields["texts"] = tuple(
            ". ".join(filter(None, parts)) for parts in zip(*texts, strict=True)
        )
    if picked["tags"]:
        fields["item_tags"] = tuple(t.replace("|", ",") for t in column(picked["tags"]))
    paths = ["" if not p else str(folder / p) for p in column(picked["picture"])]
    if picked["picture"]:
        fields["pictures"] = tuple(paths)
    fields["attributes"] = {_word(name): _attribute(source, name, column) for name in attributes}
    read = fields.get("texts", [""] * len(place))
    whole = [". ".join(filter(None, pair)) for pair in zip(titles, read, strict=True)]
    inputs = {"text": whole, "image": paths}
    vectors, absent = {}, {}
    for modality, function in encode.items():
        if modality not in inputs:
            choose_column(source, "text", modality)
        entries = inputs[modality] if modality in inputs else column(modality)
        there = np.array([bool(entry) for entry in entries])
        if not there.any():
            raise DataError(
                f"{source.where}: no item has anything to encode as {modality}; name its column"
            )
        if modality == "image":
            _check_pictures(source, [p for p in paths if p])
        kept = [entry for entry in entries if entry]
        rows = as_features(np.asarray(function(kept)), where=f"encode {modality}")
        if len(rows) != len(kept):
            raise DataError(f"encode {modality}: {len(rows)} vectors for {len(kept)} inputs")
        vectors[modality], absent[modality] = _filled(rows, there, missing), ~there
    for modality, given in features.items():
        where = str(given) if isinstance(given, str | Path) else f"features[{modality!r}]"
        array = read_npy(given) if isinstance(given, str | Path) else np.asarray(given)
        rows = as_features(array, where=where)
        if len(rows) != len(keys):
            raise DataError(f"{where}: {len(rows)} rows for {len(keys)} rows of {source.where}")
        there = place >= 0
        vectors[modality], absent[modality] = _filled(rows[place[there]], there, missing), ~there
    fields["features"] = vectors
    fields["absent"] = {name: mask for name, mask in absent.items() if mask.any()}
    return fields


def _rows_of(item_ids: np.ndarray, keys: list[str | None], source: Source) -> np.ndarray:
    """Row of the table of items for each item; -1 where there is none."""
    row_of: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key and row_of.setdefault(key, row) != row:
            first = row_of[key] + source.first_row
            raise DataError(
                f"{source.where}, row {row + source.first_row}: item {key} stands in row {first} "
                "already; keep one of them"
            )
    place = np.array([row_of.get(str(raw), -1) for raw in item_ids])
    if (place < 0).all():
        raise DataError(
            f"{source.where}: none of {len(item_ids)} items is among its {len(keys)} rows, such as "
            f"{item_ids[0]!s}; name the column of raw ids by key= (--key)"
        )
    return place


def _check_pictures(source: Source, paths: list[str]) -> None:
    lacking = [path for path in paths if not Path(path).is_file()]
    if lacking:
        raise DataError(
            f"{source.where}: {len(lacking):,} of {len(paths):,} pictures are missing, such as "
            f"{lacking[0]}; name their folder by pictures= (--pictures), or leave the entry empty"
        )


def _filled(rows: np.ndarray, there: np.ndarray, missing: Missing) -> np.ndarray:
    """Vectors by item, by the rule where there is none."""
    full = np.zeros((len(there), *rows.shape[1:]), np.float32)
    if missing == "mean":
        full[:] = rows.mean(0)
    full[there] = rows
    return full


def _attribute(source: Source, name: str, column: Callable[[str], list[str]]) -> Attribute:
    choose_column(source, "text", name)
    return attribute_of([entry or "unknown" for entry in column(name)])


def _word(name: str) -> str:
    """A name of letters, digits and underscores."""
    word = "".join(c if c.isalnum() else "_" for c in name)
    return word if word.isidentifier() else f"a_{word}"
