"""The base of encoders of texts and of images.  Axes: l layers, m width."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmjax.encoders.encode.outputs import Pooling
from mmjax.encoders.encode.rows import Runner
from mmjax.encoders.loading.weights import WeightsError, read_config


class PretrainedEncoder:
    """A pretrained model that makes vectors of inputs; the base of `TextEncoder` and its like."""

    model: Any
    params: Any
    pooling: Pooling
    devices: Sequence[Any] | None
    layers: bool
    _run: Runner

    def _compile(self, vectors: Callable[..., Any]) -> None:
        """Compile the function from parameters and rows to vectors, and place the parameters.

        Raises:
            ValueError: `layers` with the pooling ``own``.
        """
        if self.layers and self.pooling == "own":
            raise ValueError("layers: choose the pooling 'cls' or 'mean', 'own' is of the last one")
        run = Runner(vectors, self.params, self.devices)
        object.__setattr__(self, "_run", run)
        object.__setattr__(self, "params", run.params)

    @property
    def width(self) -> int:
        """Width m of the vectors."""
        return min(self._whole_width, getattr(self, "dimensions", None) or self._whole_width)

    @property
    def _whole_width(self) -> int:
        if "dense" in self.params and not self.layers:
            return self.params["dense"][-1]["kernel"].shape[1]
        projection = getattr(self.model.config, "projection", 0)
        return projection if self.pooling == "own" and projection else self.model.config.width

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result of `encode` for one input: m, or l and m with `layers`."""
        depth = self.params["encoder"].keys() if self.layers else ()
        layers = sum(name.startswith("layer_") for name in depth) + 1
        return (layers, self.width) if self.layers else (self.width,)


def find_loader(folder: Path, loaders: Mapping[str, Any], kind: str) -> tuple[str, Any]:
    """The family that a folder names, and its loader.

    Args:
        folder: with a ``config.json``.
        loaders: by family.
        kind: of encoders, for the message.

    Raises:
        WeightsError: none of `loaders` is for it.
    """
    family: Any = read_config(folder).get("model_type")
    if family not in loaders:
        raise WeightsError(
            f"{folder}: model_type {family!r} is not among the {kind} {', '.join(loaders)}"
        )
    return family, loaders[family]


def check_pooling(pooling: Pooling | None, config: Any, folder: Path) -> None:
    """Refuse the pooling ``own`` of a model that defines no vector.

    Raises:
        ValueError: `pooling` is ``own``, and there is no pooler.
    """
    if pooling == "own" and not getattr(config, "pooler", True):
        raise ValueError(f"pooling 'own': the model in {folder} has no pooler")
