"""Dense layers behind the pooling, as sentence-transformers adds them (Sentence-T5, LaBSE).

Axes: b texts, m inputs, n outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from mmjax.encoders.loading.weights import WeightsError, linear, load_params, read_json

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": jnp.tanh,
    "ReLU": jax.nn.relu,
    "GELU": partial(jax.nn.gelu, approximate=False),
}


def load_dense(
    folders: Sequence[Path], width: int
) -> tuple[tuple[str, ...], list[dict[str, Array]]]:
    """The layers of `folders`, one behind the other.

    Args:
        folders: each with a `config.json` and a `model.safetensors`.
        width: of the vectors that the first layer reads.

    Returns:
        The layers' activations, and their parameters, ``kernel`` and perhaps ``bias``.

    Raises:
        WeightsError: a file is missing or damaged, an activation is not built here, or a layer
            does not fit the one before it.
    """
    activations, params = [], []
    for folder in folders:
        activation, layer = _layer(folder, width)
        width = layer["kernel"].shape[1]
        activations.append(activation)
        params.append(layer)
    return tuple(activations), params


def _layer(folder: Path, width: int) -> tuple[str, dict[str, Array]]:
    path = folder / "config.json"
    settings = read_json(path, dict)
    name = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation, bias = name.rpartition(".")[2], bool(settings.get("bias", True))
    if activation not in _ACTIVATIONS:
        raise WeightsError(
            f"{path}: activation_function {name!r} is not supported, only {', '.join(_ACTIVATIONS)}"
        )
    sizes = settings.get("in_features"), settings.get("out_features")
    if sizes[0] != width or not isinstance(sizes[1], int):
        raise WeightsError(
            f"{path}: from in_features {sizes[0]} to out_features {sizes[1]}, but the vectors "
            f"before it have width {width}; the folder mixes two models"
        )
    shapes = {"kernel": jax.ShapeDtypeStruct(sizes, jnp.float32)}
    if bias:
        shapes["bias"] = jax.ShapeDtypeStruct(sizes[1:], jnp.float32)
    params = load_params(folder, {"dense": shapes}, linear("dense", "linear", bias=bias))
    return activation, params["dense"]


def without_dense(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the encoder alone, without the dense layers behind it."""
    return {name: x for name, x in params.items() if name != "dense"}


def apply_dense(
    activations: Sequence[str], params: Sequence[dict[str, Array]], x: Float[Array, "b m"]
) -> Float[Array, "b n"]:
    """Apply one layer after the other."""
    for activation, layer in zip(activations, params, strict=True):
        x = x @ layer["kernel"]
        if "bias" in layer:
            x = x + layer["bias"][None]
        x = _ACTIVATIONS[activation](x)
    return x
