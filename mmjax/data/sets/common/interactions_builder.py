"""The TFDS builder that all interaction data sets share: three tables, no TensorFlow.

Configurations: `interactions` (splits train, valid, test; one record per user that has rows there,
with the items in order), `users` and `items` (one split each; one record per index). Importing
this module imports tensorflow-datasets.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from mmjax.data.core.catalogue import Attribute
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions, sorted_by_user
from mmjax.data.sets.common.builder import SourceBuilder
from mmjax.data.sets.common.source import InteractionSource

_CHUNK = 1024
"""Records that are read at once."""
_TABLES = {
    "interactions": "Per split and user the items, in order.",
    "users": "Raw id of each user.",
    "items": "Raw id, title, tags, features and attributes of each item.",
}


class InteractionsBuilder(SourceBuilder, skip_registration=True):
    """Prepares one `InteractionSource` as ArrayRecord files; each data set's package subclasses it.

    `tfds.builder("lastfm_2k/items", data_dir=..., file_format="array_record")` works once the
    module `mmjax.data.sets.lastfm_2k.lastfm_2k_dataset_builder` has been imported.
    """

    SOURCE: ClassVar[InteractionSource]
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name=name, description=text) for name, text in _TABLES.items()
    ]

    loaded: Interactions | None = None
    """The data set, where the caller has read it already."""

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any]
        table = self.builder_config_name
        if table == "interactions":
            features = {"user": np.int32, "items": _vector(np.int32)}
        elif table == "users":
            features = {"raw_id": tfds.features.Text()}
        else:
            features = dict.fromkeys(("raw_id", "title", "tags"), tfds.features.Text())
            features |= {name: _vector(np.float32) for name in self.SOURCE.modalities}
            features |= {_label(name): np.int32 for name in self.SOURCE.attributes}
        return self.table_info(features, metadata=tfds.core.MetadataDict())

    def _split_generators(self, dl_manager):
        data = self.loaded
        if data is None:
            directory = self.directory(dl_manager)
            if not self.SOURCE.shipped:
                self.SOURCE.require(directory, allow_missing_features=True)
            data = sorted_by_user(self.SOURCE.read(directory))
        metadata: Any = self.info.metadata
        metadata.update(
            split=data.split,
            n_users=data.n_users,
            n_items=data.n_items,
            widths={name: array.shape[1] for name, array in data.features.items()},
            source=data.source,
            digest=data.digest,
            rows=[len(data.pairs(split)) for split in SPLITS],
            **{name: _kind(getattr(data, name)) for name in ("user_ids", "item_ids", "titles")},
            item_tags=_kind(data.item_tags),
            attributes={name: list(a.classes) for name, a in data.attributes.items()},
        )
        table = self.builder_config_name
        if table == "interactions":
            # TFDS cannot write a split without records.
            parts = {split: data.pairs(split) for split in SPLITS}
            return {split: _histories(pairs) for split, pairs in parts.items() if len(pairs)}
        return {table: _users(data) if table == "users" else _items(data, self.SOURCE)}


def prepare(builder: type[InteractionsBuilder], data: Interactions, directory: Path) -> None:
    """Write `data`, whose pairs are sorted by user, as TFDS data set of `builder` in `directory`.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    tfds.disable_progress_bar()
    try:
        # TFDS prints several lines per table; the caller says what is going on in one.
        with contextlib.redirect_stdout(io.StringIO()):
            for table in _TABLES:
                instance = _instance(builder, table, directory)
                instance.loaded = data
                instance.download_and_prepare(
                    download_config=tfds.download.DownloadConfig(try_download_gcs=False)
                )
    finally:
        tfds.enable_progress_bar()


def read_prepared(builder: type[InteractionsBuilder], directory: Path) -> Interactions:
    """The data set that `prepare` wrote.

    Raises:
        DataError: it is damaged, or not there.
    """
    try:
        tables = {table: _instance(builder, table, directory) for table in _TABLES}
        about = tables["interactions"].info.metadata
        parts = [
            _read_pairs(tables["interactions"], split, rows)
            for split, rows in zip(SPLITS, about["rows"], strict=True)
        ]
        users = [_text(record["raw_id"]) for record in _records(tables["users"], "users")]
        classes = about.get("attributes", {})
        items, features, labels = _read_items(
            tables["items"], about["widths"], list(classes), about["n_items"]
        )
        data = Interactions(
            name=builder.SOURCE.name,
            split=about["split"],
            n_users=about["n_users"],
            n_items=about["n_items"],
            train=parts[0],
            valid=parts[1],
            test=parts[2],
            features=features,
            user_ids=_column(users, about["user_ids"]),
            item_ids=_column(items["raw_id"], about["item_ids"]),
            titles=_column(items["title"], about["titles"]),
            item_tags=None if about["item_tags"] is None else items["tags"],
            attributes={name: Attribute(labels[name], tuple(classes[name])) for name in classes},
            source=about["source"],
        )
    # array_record, protobuf, TFDS and JSON each have their own errors for a damaged file.
    except Exception as error:
        raise DataError(f"{directory}: damaged ({type(error).__name__}: {error})") from error
    if data.digest != about["digest"]:
        raise DataError(f"{directory}: damaged (the content hash differs)")
    return data


def _instance(builder: type[InteractionsBuilder], table: str, directory: Path) -> Any:
    return builder(data_dir=directory, config=table, file_format="array_record")


def _vector(dtype: type) -> tfds.features.Tensor:
    # Raw bytes: the default encoding stores every number on its own, ten times slower.
    return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding="bytes")


def _label(attribute: str) -> str:
    return f"{attribute}_label"


def _histories(pairs: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    users, starts = np.unique(pairs[:, 0], return_index=True)
    for user, items in zip(users.tolist(), np.split(pairs[:, 1], starts[1:]), strict=True):
        yield user, {"user": user, "items": items}


def _records(table: Any, split: str) -> Iterator[dict[str, Any]]:
    """The records of a split in order, read in chunks: one by one they take ten times as long."""
    source = table.as_data_source(split)
    for first in range(0, len(source), _CHUNK):
        yield from source.__getitems__(range(first, min(first + _CHUNK, len(source))))


def _read_pairs(table: Any, split: str, rows: int) -> np.ndarray:
    records = list(_records(table, split)) if rows else []
    users = np.repeat(
        np.array([record["user"] for record in records], np.int32),
        [len(record["items"]) for record in records],
    )
    items = np.concatenate([np.zeros(0, np.int32), *(record["items"] for record in records)])
    return np.stack([users, items], axis=1)


def _users(data: Interactions) -> Iterator[tuple[int, dict[str, Any]]]:
    for user in range(data.n_users):
        yield user, {"raw_id": data.user_id(user)}


def _items(data: Interactions, source: InteractionSource) -> Iterator[tuple[int, dict[str, Any]]]:
    absent = np.zeros(0, np.float32)
    for item in range(data.n_items):
        record: dict[str, Any] = {
            "raw_id": data.item_id(item),
            "title": "" if data.titles is None else str(data.titles[item]),
            "tags": "" if data.item_tags is None else data.item_tags[item],
        }
        for name in source.modalities:
            record[name] = data.features[name][item] if name in data.features else absent
        for name in source.attributes:
            record[_label(name)] = data.attributes[name].labels[item]
        yield item, record


def _kind(column: np.ndarray | Sequence[str] | None) -> str | None:
    """Type of a column to read back: "int", "str", or None for a column that is not there."""
    if column is None:
        return None
    return "int" if isinstance(column, np.ndarray) and column.dtype.kind in "iu" else "str"


def _column(texts: list[str], kind: str | None) -> np.ndarray | None:
    if kind is None:
        return None
    return np.array([int(text) for text in texts]) if kind == "int" else np.array(texts)


def _read_items(
    table: Any, widths: dict[str, int], attributes: list[str], n_items: int
) -> tuple[dict[str, list[str]], dict[str, np.ndarray], dict[str, np.ndarray]]:
    columns: dict[str, list[str]] = {"raw_id": [], "title": [], "tags": []}
    # Filled in place, because the features of a large set fill the memory once already.
    features = {name: np.empty((n_items, width), np.float32) for name, width in widths.items()}
    labels = {name: np.empty(n_items, np.int32) for name in attributes}
    for item, record in enumerate(_records(table, "items")):
        for name, column in columns.items():
            column.append(_text(record[name]))
        for name, array in features.items():
            array[item] = record[name]
        for name, array in labels.items():
            array[item] = record[_label(name)]
    return columns, features, labels


def _text(value: bytes) -> str:
    return value.decode("utf-8")
