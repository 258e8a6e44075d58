"""Made results on disk: trees of host data as a folder of npz and JSON, whole or not at all.

A tree consists of arrays, numbers, strings, None, and dicts, lists, tuples, NamedTuples and
dataclasses of these. Arrays stand in ``arrays.npz``, everything else in ``stage.json``, which also
has the checksums of both files. Nothing is pickled; the classes of NamedTuples and dataclasses are
given by who reads them.
"""

import dataclasses
import hashlib
import json
from collections import namedtuple
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.data.io.cache import file_sha256
from mmjax.data.io.files import atomic_directory, atomic_write_text
from mmjax.training.naming import Arrays

ARRAYS, MANIFEST = "arrays.npz", "stage.json"
FORMAT = 1
_PLAIN = (bool, int, float, str)


class Encoded(NamedTuple):
    """A tree as plain JSON with places for its arrays, and the arrays."""

    tree: Any
    arrays: Arrays


def encode(value: Any) -> Encoded:
    """Take a tree of host data apart; JAX arrays become numpy arrays.

    Raises:
        TypeError: something has no place in an artefact; the message says where it is.
    """
    arrays: Arrays = {}
    return Encoded(_encode(value, "result", arrays), arrays)


def decode(encoded: Encoded, kinds: Sequence[type] = ()) -> Any:
    """The inverse of `encode`.

    Args:
        encoded: tree and arrays.
        kinds: the classes of NamedTuples and dataclasses in the tree. One that is missing is
            replaced by a NamedTuple of the same name and fields.
    """
    return _decode(encoded.tree, encoded.arrays, {kind.__name__: kind for kind in kinds})


def unknown_kinds(encoded: Encoded, kinds: Sequence[type]) -> set[str]:
    """Names of the classes in a tree that are not among `kinds`."""

    def names(node: Any) -> set[str]:
        if not isinstance(node, dict):
            return set()
        own = {node["kind"]} if "kind" in node else set()
        inside = node.get("items", [])
        children = inside.values() if isinstance(inside, dict) else inside
        return own.union(*map(names, children))

    return names(encoded.tree) - {kind.__name__ for kind in kinds}


def digest(value: Any) -> str:
    """SHA-256 of a tree; of an object with a text `digest`, such as a data set, that text.

    The order of a dict's entries does not count, nor whether a scalar is an array without axes.

    Raises:
        TypeError: something in the tree is no host data.
    """
    own = getattr(value, "digest", None)
    if isinstance(own, str):
        return own
    encoded = encode(value)
    content = json.dumps(_hashed(encoded.tree, encoded.arrays), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def write(directory: Path, encoded: Encoded, manifest: Mapping[str, Any]) -> None:
    """Write a new `directory` in one step; where there is one already, it stays.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    with atomic_directory(directory) as temporary:
        stored: dict[str, Any] = {name: _storable(x) for name, x in encoded.arrays.items()}
        with (temporary / ARRAYS).open("wb") as file:
            np.savez(file, **stored)
        content = {
            **manifest,
            "tree": encoded.tree,
            "dtypes": {name: str(x.dtype) for name, x in encoded.arrays.items()},
            "arrays_sha256": file_sha256(temporary / ARRAYS),
        }
        write_manifest(temporary, content)


def read(directory: Path) -> tuple[dict[str, Any], Encoded]:
    """Manifest and content of what `write` wrote.

    Raises:
        ValueError, OSError, KeyError: a file is missing or damaged.
    """
    manifest = read_manifest(directory)
    if file_sha256(directory / ARRAYS) != manifest["arrays_sha256"]:
        raise ValueError(f"{ARRAYS} does not have its checksum")
    with np.load(directory / ARRAYS, allow_pickle=False) as file:
        arrays = {
            name: file[name].view(np.dtype(dtype)) for name, dtype in manifest["dtypes"].items()
        }
    return manifest, Encoded(manifest["tree"], arrays)


def write_manifest(directory: Path, content: Mapping[str, Any]) -> None:
    """Write ``stage.json`` with its own checksum.

    Raises:
        OSError: it cannot be written.
    """
    whole = {"format": FORMAT, **content}
    text = json.dumps({**whole, "sha256": _checksum(whole)}, indent=1)
    atomic_write_text(directory / MANIFEST, text + "\n")


def read_manifest(directory: Path) -> dict[str, Any]:
    """The content of ``stage.json``.

    Raises:
        ValueError, OSError: it is missing, damaged or of another version.
    """
    content = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.pop("sha256", "") != _checksum(content):
        raise ValueError(f"{MANIFEST} does not have its checksum")
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hashed(node: Any, arrays: Arrays) -> Any:
    """A tree whose arrays are replaced by hashes of their content."""
    if not isinstance(node, dict):
        return node
    if "name" in node:
        x = arrays[node["name"]]
        whole = hashlib.sha256(f"{x.dtype}{x.shape}\n".encode())
        whole.update(np.ascontiguousarray(x).tobytes())
        return {"is": "array", "sha256": whole.hexdigest()}
    items = node["items"]
    if isinstance(items, dict):
        inside: Any = {name: _hashed(child, arrays) for name, child in items.items()}
    else:
        inside = [_hashed(child, arrays) for child in items]
    return {**node, "items": inside}


def _storable(x: np.ndarray) -> np.ndarray:
    # Types that numpy does not know by itself, such as bfloat16, are stored as their bits.
    return x if x.dtype.kind in "biufcSUmM" else x.view(f"u{x.dtype.itemsize}")


def _encode(value: Any, where: str, arrays: Arrays) -> Any:
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return _encode_array(value, where, arrays)
    if isinstance(value, Mapping):
        if any(not isinstance(name, str) for name in value):
            raise TypeError(f"{where} has keys that are no strings: {list(value)[:5]}")
        items = {k: _encode(v, f"{where}/{k}", arrays) for k, v in value.items()}
        return {"is": "dict", "items": items}
    fields = _fields(value)
    if fields is not None:
        items = {k: _encode(v, f"{where}/{k}", arrays) for k, v in fields.items()}
        return {"is": "fields", "kind": type(value).__name__, "items": items}
    if type(value) in (list, tuple):
        items = [_encode(v, f"{where}/{n}", arrays) for n, v in enumerate(value)]
        return {"is": type(value).__name__, "items": items}
    raise TypeError(
        f"{where} is a {type(value).__name__}: a made result consists of arrays, numbers, strings, "
        "dicts, lists, tuples, NamedTuples and dataclasses"
    )


def _encode_array(value: Any, where: str, arrays: Arrays) -> Any:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{where} is a random key; keep the seed instead")
    x = np.asarray(value)
    if x.dtype.hasobject:
        raise TypeError(f"{where} is an array of objects; give it a type, such as str")
    # A number in front, so that no two names are equal and none is an argument's of `savez`.
    name = f"{len(arrays)}_{where.partition('/')[2]}"
    arrays[name] = x
    return {"is": "scalar" if isinstance(value, np.generic) else "array", "name": name}


def _fields(value: Any) -> dict[str, Any] | None:
    named: Any = value
    if isinstance(value, tuple) and hasattr(named, "_asdict"):
        return named._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    return None


def _decode(node: Any, arrays: Arrays, kinds: Mapping[str, type]) -> Any:
    if not isinstance(node, dict):
        return node
    form = node["is"]
    if form in ("array", "scalar"):
        x = arrays[node["name"]]
        return x[()] if form == "scalar" else x
    items = node["items"]
    if form in ("list", "tuple"):
        inside = [_decode(child, arrays, kinds) for child in items]
        return inside if form == "list" else tuple(inside)
    named = {k: _decode(child, arrays, kinds) for k, child in items.items()}
    if form == "dict":
        return named
    kind = kinds.get(node["kind"]) or namedtuple(node["kind"], list(named))
    return kind(**named)
