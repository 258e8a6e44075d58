"""Records of what an implementation computes: flat dicts of arrays, kept in small files.

Needs NumPy alone, so that it can be imported where another implementation runs.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Record = Mapping[str, np.ndarray]


def reference(method: str, name: str) -> Path:
    """The file in which another implementation's results on a case are stored."""
    return Path(__file__).parents[1] / method / "reference" / f"{name}.npz"


def save(path: Path, record: Record, *, dtype: Any = np.float64, **header: Any) -> None:
    """Write a record as a header and one vector; an entry an array would be mostly zip headers.

    Args:
        path: where to.
        record: arrays of numbers.
        dtype: what all of them are kept as; integers have to fit it exactly.
        header: what JSON can hold, to be found again beside the record.
    """
    layout = {k: (str(v.dtype), v.shape) for k, v in record.items()}
    values = np.concatenate([v.ravel().astype(dtype) for v in record.values()])
    text = json.dumps({**header, "layout": layout})
    np.savez_compressed(path, header=np.array(text), values=values)


def load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the record of a file."""
    with np.load(path) as file:
        header, values = json.loads(str(file["header"])), file["values"]
    record, begin = {}, 0
    for name, (dtype, shape) in header.pop("layout").items():
        end = begin + math.prod(shape)
        record[name] = values[begin:end].astype(dtype).reshape(shape)
        begin = end
    return header, record


def stored(method: str, name: str) -> dict[str, np.ndarray]:
    """The stored record of a case."""
    return load(reference(method, name))[1]


def with_prefix(record: Record, prefix: str) -> dict[str, np.ndarray]:
    """The entries below `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in record.items() if k.startswith(prefix)}


def nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The tree of which `flat` lists the paths and leaves."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = leaf
    return tree
