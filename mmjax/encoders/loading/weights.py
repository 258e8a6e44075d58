"""Published weights (safetensors) as trees of parameters, complete or not at all.

A folder holds `model.safetensors`, or several such files and `model.safetensors.index.json` that
says which tensor is where. Tensors are read one by one; nothing pickled is ever opened.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from mmjax.errors import UserError

WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
# Buffers that old versions stored beside the weights; they follow from the configuration.
_BUFFERS = (
    r"(^|\.)position_ids$",
    r"\.relative_position_index$",
    r"\.attn\.(bias|masked_bias)$",
    r"rotary_emb\.inv_freq$",
    r"\.num_batches_tracked$",
)
_SHOWN = 5


class WeightsError(UserError):
    """A folder of weights that cannot be used; the message says which file and what to do."""


class TensorSource(NamedTuple):
    """The stored tensor that a parameter is read from, and its layout."""

    name: str
    """Of the tensor, without the prefixes that some files have."""
    layout: Literal["plain", "linear", "conv"] = "plain"
    """plain: as it is; linear: outputs before inputs, to be transposed; conv: outputs, inputs,
    height, width, to be turned into height, width, inputs, outputs."""

    def read(self, stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """The parameter of this shape, or None where `stored` cannot be it.

        An axis of heads may be one axis with that of their width in the file.
        """
        if self.layout == "conv" and stored.ndim == 4:
            stored = rearrange(stored, "outputs inputs y x -> y x inputs outputs")
        if self.layout == "linear" and stored.ndim == 2:
            stored = stored.T
        if stored.shape == shape or (self.layout != "conv" and _splits(stored.shape, shape)):
            return stored.reshape(shape)
        return None


def _splits(stored: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """True if one axis of `stored` is two neighbouring ones of `shape`, all else the same."""
    return any(
        stored == (*shape[:n], shape[n] * shape[n + 1], *shape[n + 2 :])
        for n in range(len(shape) - 1)
    )


TensorSources = Mapping[str, TensorSource]
"""The stored tensor of each parameter of a model, by its path with slashes."""


def linear(path: str, name: str, *, bias: bool = True) -> dict[str, TensorSource]:
    """Sources of a dense layer: ``kernel`` and ``bias`` below `path`."""
    found = {f"{path}/kernel": TensorSource(f"{name}.weight", "linear")}
    return {**found, f"{path}/bias": TensorSource(f"{name}.bias")} if bias else found


def norm(path: str, name: str, *, bias: bool = True) -> dict[str, TensorSource]:
    """Sources of a normalisation: ``scale`` and, unless it is RMS, ``bias`` below `path`."""
    found = {f"{path}/scale": TensorSource(f"{name}.weight")}
    return {**found, f"{path}/bias": TensorSource(f"{name}.bias")} if bias else found


JsonT = TypeVar("JsonT", dict, list)


def read_json(path: str | os.PathLike[str], kind: type[JsonT]) -> JsonT:
    """The content of a JSON file of a folder of weights.

    Raises:
        WeightsError: there is no such file, or it is no JSON, or of another kind.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; {_what_is_in(path.parent)}") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not a readable JSON file ({error}); copy it again") from None
    if not isinstance(content, kind):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a {kind.__name__}")
    return content


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The `config.json` of a folder of weights; errors as `read_json`."""
    return read_json(Path(folder) / "config.json", dict)


def as_pair(size: Any) -> tuple[int, int]:
    """Rows and columns from what a config.json says: one number for both, or the two.

    Raises:
        WeightsError: it is neither.
    """
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if [type(n) for n in pair] != [int, int]:
        raise WeightsError(f"config.json: a size {size!r} is neither a number nor two")
    return (pair[0], pair[1])


def tensor_names(
    folder: str | os.PathLike[str], *, prefixes: Iterable[str] = ()
) -> dict[str, tuple[Path, str]]:
    """The file and the stored name of every tensor of a folder, by its name.

    Names lose the first of `prefixes` that they have, and ``LayerNorm.gamma`` and ``beta`` of old
    files are ``weight`` and ``bias``. Buffers are left out.

    Raises:
        WeightsError: there are no weights, a file of the index is missing or incomplete, or two
            tensors have the same name.
    """
    found: dict[str, tuple[Path, str]] = {}
    prefixes = tuple(prefixes)
    for stored, path in _files(Path(folder)).items():
        name = next((stored[len(p) :] for p in prefixes if stored.startswith(p)), stored)
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        if any(re.search(buffer, name) for buffer in _BUFFERS):
            continue
        if name in found:
            raise WeightsError(
                f"{path}: tensors {found[name][1]!r} and {stored!r} are both {name!r}; the folder "
                "mixes two models"
            )
        found[name] = (path, stored)
    return found


def load_params(
    folder: str | os.PathLike[str],
    shapes: Mapping[str, Any],
    sources: TensorSources,
    *,
    prefixes: Iterable[str] = (),
    unused: Iterable[str] = (),
) -> dict[str, Any]:
    """The parameters of a model, float32, from the tensors of a folder.

    Every parameter needs its tensor and every tensor its parameter.

    Args:
        folder: with `model.safetensors`, or with several files and their index.
        shapes: the parameters as `jax.eval_shape` of the module's `init` gives them.
        sources: the tensor of each of them.
        prefixes: of names, which some files have and others not, such as ``bert.``.
        unused: beginnings of names of tensors that the model has no place for, such as the heads
            of other tasks.

    Raises:
        WeightsError: a file is missing, truncated or of another kind, a tensor is missing, has no
            parameter, or has another shape; the message names the first few of each.
        KeyError: `sources` and `shapes` name other parameters.
    """
    flat: dict[str, Any] = dict(flatten_dict(shapes, sep="/"))
    wanted = {path: x.shape for path, x in flat.items()}
    if wanted.keys() != sources.keys():
        raise KeyError(f"sources do not fit the model: {sorted(wanted.keys() ^ sources.keys())}")
    tensors, unused = tensor_names(folder, prefixes=prefixes), tuple(unused)
    names = {source.name for source in sources.values()}
    extra = [n for n in tensors if n not in names and not n.startswith(unused)]
    troubles = [
        _some("missing", [n for n in sorted(names) if n not in tensors]),
        _some("not part of the model", sorted(extra)),
    ]
    params: dict[str, Any] = {}
    misfits = []
    with _Reader() as reader:
        for path, source in sources.items():
            if source.name not in tensors:
                continue
            stored = reader.read(*tensors[source.name])
            value = source.read(stored, wanted[path])
            if value is None:
                misfits.append(f"{source.name} {list(stored.shape)} for {list(wanted[path])}")
            elif not any(troubles):
                params[path] = jnp.asarray(value, jnp.float32)
    troubles.append(_some("of another shape", misfits))
    if any(troubles):
        raise WeightsError(
            f"the weights in {folder} are not those that its config.json describes: "
            + "; ".join(filter(None, troubles))
        )
    return unflatten_dict(params, sep="/")


def load_module(
    folder: str | os.PathLike[str],
    model: nn.Module,
    inputs: Sequence[Any],
    sources: TensorSources,
    *,
    prefixes: Iterable[str] = (),
    unused: Iterable[str] = (),
) -> dict[str, Any]:
    """`load_params` of a module that can be started on `inputs`; nothing is computed for that."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    return load_params(folder, shapes, sources, prefixes=prefixes, unused=unused)


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what}: {', '.join(names[:_SHOWN])}{more}"


def _files(folder: Path) -> dict[str, Path]:
    """The file of every tensor by its stored name."""
    if (folder / WEIGHTS_FILE).exists() or not (folder / INDEX_FILE).exists():
        with _Reader() as reader:
            return dict.fromkeys(reader.names(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)
    placed = read_json(folder / INDEX_FILE, dict).get("weight_map")
    if not isinstance(placed, dict) or not all(
        isinstance(name, str) and name == Path(name).name for name in placed.values()
    ):
        raise WeightsError(
            f"{folder / INDEX_FILE}: 'weight_map' must give the name of a file in the same folder "
            "for every tensor"
        )
    with _Reader() as reader:
        held = {file: set(reader.names(folder / file)) for file in set(placed.values())}
    lost = sorted(name for name, file in placed.items() if name not in held[file])
    if lost:
        raise WeightsError(
            f"{folder / placed[lost[0]]} lacks {lost[0]!r}, which {INDEX_FILE} says it holds; copy "
            "the folder again"
        )
    return {name: folder / file for name, file in placed.items()}


class _Reader:
    """Open safetensors files, closed together; each is mapped into memory once."""

    def __init__(self) -> None:
        self._open: dict[Path, Any] = {}

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._open.values():
            file.__exit__(None, None, None)

    def names(self, path: Path) -> list[str]:
        return list(self._file(path).keys())

    def read(self, path: Path, name: str) -> np.ndarray:
        return self._file(path).get_tensor(name)

    def _file(self, path: Path) -> Any:
        if path not in self._open:
            self._open[path] = _open(path)
        return self._open[path]


def _open(path: Path) -> Any:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            'published weights are read by safetensors: pip install "mmjax[text]"'
        ) from error
    try:
        return safe_open(path, framework="np").__enter__()
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing; {_what_is_in(path.parent)}. Weights of other formats (.bin, .h5, "
            ".msgpack) are not read: most publishers offer safetensors as well"
        ) from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is truncated or no safetensors file ({error}); copy it again"
        ) from None


def _what_is_in(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is no folder"
    names = sorted(p.name for p in folder.iterdir())
    return _some(f"in {folder} there is", names) if names else f"{folder} is empty"
