"""A data set as plain `.npy` files that are memory-mapped, with a hash of every file."""

import hashlib
import json
from pathlib import Path

import numpy as np

from mmjax.data.core.catalogue import Attribute
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions
from mmjax.data.io.files import atomic_directory

_FORMAT = 1
_MANIFEST, _NAMES = "manifest.json", "names.json"


def save_arrays(data: Interactions, directory: Path) -> None:
    """Write `data` to a new `directory` in one step; where there is one already, it stays.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    with atomic_directory(directory) as temporary:
        for name, array in _arrays(data).items():
            np.save(temporary / f"{name}.npy", array)
        names = {
            "user_ids": _list(data.user_ids),
            "item_ids": _list(data.item_ids),
            "titles": _list(data.titles),
            "item_tags": data.item_tags,
            "attributes": {name: a.classes for name, a in data.attributes.items()},
        }
        (temporary / _NAMES).write_text(json.dumps(names), encoding="utf-8")
        manifest = {
            "format": _FORMAT,
            "name": data.name,
            "split": data.split,
            "n_users": data.n_users,
            "n_items": data.n_items,
            "modalities": data.modalities,
            "source": data.source,
            "sha256": {path.name: file_sha256(path) for path in sorted(temporary.iterdir())},
        }
        (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def open_arrays(directory: Path) -> Interactions:
    """The data set that `save_arrays` wrote, its arrays memory-mapped, its hashes checked.

    Raises:
        FileNotFoundError: there is no such directory.
        DataError: a file is missing, truncated or changed, or of another version of mmjax.
    """
    if not directory.exists():
        raise FileNotFoundError(f"{directory}: nothing cached")
    try:
        manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise DataError(f"{directory}: written by another version of mmjax")
        for name, expected in manifest["sha256"].items():
            if file_sha256(directory / name) != expected:
                raise DataError(f"{directory / name}: truncated or changed")
        names = json.loads((directory / _NAMES).read_text(encoding="utf-8"))
        return Interactions(
            name=manifest["name"],
            split=manifest["split"],
            n_users=manifest["n_users"],
            n_items=manifest["n_items"],
            train=_map(directory, "train"),
            valid=_map(directory, "valid"),
            test=_map(directory, "test"),
            features={name: _map(directory, _file(name)) for name in manifest["modalities"]},
            user_ids=_column(names["user_ids"]),
            item_ids=_column(names["item_ids"]),
            titles=_column(names["titles"]),
            item_tags=names["item_tags"],
            # Absent in what was cached before items had attributes.
            attributes={
                name: Attribute(_map(directory, _labels(name)), tuple(classes))
                for name, classes in names.get("attributes", {}).items()
            },
            source=manifest["source"],
        )
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{directory}: damaged ({error})") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _arrays(data: Interactions) -> dict[str, np.ndarray]:
    arrays = {split: data.pairs(split) for split in SPLITS}
    arrays |= {_file(name): array for name, array in data.features.items()}
    return arrays | {_labels(name): a.labels for name, a in data.attributes.items()}


def _file(modality: str) -> str:
    return f"features-{modality}"


def _labels(attribute: str) -> str:
    return f"labels-{attribute}"


def _map(directory: Path, name: str) -> np.ndarray:
    return np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _list(column: np.ndarray | None) -> list | None:
    return None if column is None else column.tolist()


def _column(values: list | None) -> np.ndarray | None:
    return None if values is None else np.array(values)
