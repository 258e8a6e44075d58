"""What a data folder keeps beside MMRec's files: `items.parquet`, `users.parquet`, `dataset.json`.

MMRec's format has no place for titles, texts, attributes, the true name of the split or ids that
are no plain words; these files have, and nothing but mmjax reads them.

Axes: i items.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.data.core.catalogue import Attribute, Catalogue
from mmjax.data.core.checks import DataError
from mmjax.data.io.files import atomic_path, atomic_write_text

DATASET, ITEMS, USERS = "dataset.json", "items.parquet", "users.parquet"
_VERSION = 1
_TEXTS = {"title": "titles", "tags": "item_tags", "text": "texts", "picture": "pictures"}
"""Columns of `items.parquet` and the fields that they hold."""


def write_catalogue(data: Catalogue, folder: Path, *, kind: str) -> None:
    """Write the three files, `dataset.json` last: a folder with it is whole.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    import pyarrow as pa
    from pyarrow import parquet

    items: dict[str, Any] = {"item": _ids(data.item_ids, data.n_items)}
    for column, field in _TEXTS.items():
        values = getattr(data, field)
        if values is not None:
            items[column] = pa.array([str(value) for value in values], pa.string())
    for name, attribute in data.attributes.items():
        classes = pa.array(list(attribute.classes), pa.string())
        items[f"attribute:{name}"] = classes.take(pa.array(attribute.labels))
    for name, mask in data.absent.items():
        items[f"absent:{name}"] = pa.array(mask)
    users = {"user": _ids(data.user_ids, data.n_users)}
    for file, columns in ((ITEMS, items), (USERS, users)):
        with atomic_path(folder / file) as path:
            parquet.write_table(pa.table(columns), path)
    about = {
        "format": _VERSION,
        "kind": kind,
        "name": data.name,
        "split": data.split,
        "users": data.n_users,
        "items": data.n_items,
        "named": {"users": data.user_ids is not None, "items": data.item_ids is not None},
        "classes": {name: list(a.classes) for name, a in data.attributes.items()},
        "source": data.source,
        "provenance": dict(data.provenance),
    }
    atomic_write_text(folder / DATASET, json.dumps(about, indent=1) + "\n")


def _ids(ids: np.ndarray | None, count: int) -> Any:
    import pyarrow as pa

    return pa.array(np.arange(count)) if ids is None else pa.array(ids.tolist())


def read_catalogue(folder: Path) -> dict[str, Any] | None:
    """The fields of a `Catalogue` but the features, and its "kind"; None without `dataset.json`.

    Raises:
        DataError: a file is missing, damaged, or of a later version.
    """
    path = folder / DATASET
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["format"] != _VERSION:
            raise DataError(
                f"{path}: format {about['format']}, this mmjax reads {_VERSION}; update mmjax"
            )
        items, users = (_table(folder / file) for file in (ITEMS, USERS))
        return _fields(folder, about, items, users)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({error!r}); prepare the folder again") from error


def _fields(
    folder: Path, about: Mapping[str, Any], items: dict[str, Any], users: dict[str, Any]
) -> dict[str, Any]:
    for file, rows, what in ((ITEMS, items["item"], "items"), (USERS, users["user"], "users")):
        if len(rows) != about[what]:
            raise DataError(
                f"{folder / file}: {len(rows)} rows, but {DATASET} counts {about[what]} {what}; "
                "the folder mixes two data sets: prepare it again"
            )
    fields: dict[str, Any] = {name: about[name] for name in ("kind", "name", "split", "source")}
    fields |= {"n_users": about["users"], "n_items": about["items"]}
    fields["provenance"] = about["provenance"]
    fields["user_ids"] = np.array(users["user"]) if about["named"]["users"] else None
    fields["item_ids"] = np.array(items["item"]) if about["named"]["items"] else None
    for column, field in _TEXTS.items():
        if column in items:
            values = items[column]
            fields[field] = np.array(values, str) if field == "titles" else tuple(values)
    fields["attributes"] = {}
    for name, classes in about["classes"].items():
        place = {label: n for n, label in enumerate(classes)}
        labels = [place[label] for label in items[f"attribute:{name}"]]
        fields["attributes"][name] = Attribute(np.array(labels, np.int32), tuple(classes))
    masks = {n.partition(":")[2]: x for n, x in items.items() if n.startswith("absent:")}
    fields["absent"] = {name: np.array(mask, bool) for name, mask in masks.items()}
    return fields


def _table(path: Path) -> dict[str, list[Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pydict()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; copy the folder whole, or prepare it again") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is damaged ({error}); prepare the folder again") from error
