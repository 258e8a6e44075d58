"""Cache of vectors on disk, by a hash of the inputs that they were computed from.

A folder holds one folder for each model, named by a digest of its weights and settings; in it
stand parts, each some rows of keys and vectors, named by a hash of its content. A part is whole
or absent, so that work that was cut short goes on with the rows that no part has.

Axes: n inputs, *m the shape of what is kept for one.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from mmjax.data.core.checks import DataError
from mmjax.data.io.files import atomic_write_bytes, remove_leftovers

_ROWS, _SECONDS = 4096, 30.0
_KEY, _NAME = 16, 32
_FORMAT = "mmjax features 1"


def content_key(*parts: bytes) -> bytes:
    """Hash of the bytes of an input, its key in a `VectorCache`."""
    digest = hashlib.blake2b(digest_size=_KEY)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def model_digest(config: Any, settings: Mapping[str, Any], params: Any) -> str:
    """Hash of all that the vectors of a model depend on beside its inputs, as hexadecimal digits.

    Args:
        config: dataclass of the model, its dtype included.
        settings: of what is around the model, such as pooling; what JSON can hold.
        params: parameters, every byte of which counts.
    """
    digest = hashlib.sha256(_FORMAT.encode())
    parts = [type(config).__name__, asdict(config), dict(settings)]
    text = json.dumps(parts, sort_keys=True, default=lambda x: np.dtype(x).name)
    digest.update(text.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        value = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {value.dtype} {value.shape}".encode())
        digest.update(value.view(np.uint8).reshape(-1).data)
    return digest.hexdigest()


class VectorCache:
    """The vectors of one model in a folder; as a context it writes what is left at its end.

    The end may be an error or an interruption: what was computed is kept.
    """

    def __init__(self, folder: str | os.PathLike[str], model: str, shape: tuple[int, ...]) -> None:
        self._folder = Path(folder) / model[:_NAME]
        self._shape = shape
        self._keys: list[bytes] = []
        self._vectors: list[np.ndarray] = []
        self._since = time.monotonic()

    def __enter__(self) -> "VectorCache":
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def find(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Places of the inputs that have a vector, int [v], and these vectors, float32 [v, *m].

        Raises:
            DataError: a part is damaged.
        """
        places: dict[bytes, list[int]] = {}
        for n, name in enumerate(keys):
            places.setdefault(name, []).append(n)
        rows: list[int] = []
        vectors = [np.zeros((0, *self._shape), np.float32)]
        for path in sorted(self._folder.glob("part-*.npz")):
            stored, values = self._read(path)
            taken: list[int] = []
            for row, name in enumerate(stored):
                wanted = places.pop(name, [])  # two runs at once may both have written it
                rows += wanted
                taken += [row] * len(wanted)
            vectors.append(values[taken])
        return np.array(rows, np.int64), np.concatenate(vectors)

    def add(self, keys: Iterable[bytes], vectors: Float32[np.ndarray, "n *m"]) -> None:
        """Take in new rows; they reach the disk some thousand at a time, or every half minute."""
        self._keys += keys
        self._vectors.append(vectors)
        if len(self._keys) >= _ROWS or time.monotonic() - self._since >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has been added."""
        if self._keys:
            keys = np.frombuffer(b"".join(self._keys), np.uint8).reshape(-1, _KEY)
            content = io.BytesIO()
            np.savez(content, keys=keys, vectors=np.concatenate(self._vectors))
            data = content.getvalue()
            name = hashlib.sha256(data).hexdigest()[:_NAME]
            atomic_write_bytes(self._folder / f"part-{name}.npz", data)
            remove_leftovers(self._folder)
        self._keys, self._vectors, self._since = [], [], time.monotonic()

    def _read(self, path: Path) -> tuple[list[bytes], np.ndarray]:
        data = path.read_bytes()
        if path.stem != f"part-{hashlib.sha256(data).hexdigest()[:_NAME]}":
            raise DataError(
                f"{path}: truncated or changed; remove it, and its rows are computed again"
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return [row.tobytes() for row in file["keys"]], file["vectors"]
