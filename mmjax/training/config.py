"""Length, optimiser and devices of training.  Imports no JAX, so that `--help` answers at once."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmjax.training.values import finite

EXECUTION = "execution"
"""Key of a field's metadata that marks it as saying how a run is executed and not what it
computes: a run may be resumed with another value of it."""

_HOW: Mapping[str, Any] = {EXECUTION: True}


@dataclass(frozen=True)
class FitConfig:
    """Length of training, model selection, devices and what is written on the way."""

    epochs: int = 1000
    """Most epochs to train."""
    eval_every: int = 1
    """Epochs between two evaluations on validation data; the last epoch is always evaluated."""
    patience: int = 21
    """Stop at an evaluation this many epochs or more after the best one; 0 never stops early."""
    min_epochs: int = 0
    """Do not stop early before this epoch."""
    metric: str = ""
    """Validation metric that selects the best parameters; to be named where there is validation."""
    maximise: bool = True
    """Whether a larger metric is better."""
    metric_digits: int | None = None
    """Round the metric to this many decimals before comparing it (MMRec: 4); None compares it
    as it is. Only a strictly better value counts as an improvement."""
    devices: int | None = field(default=None, metadata=_HOW)
    """Devices to split each batch over; all there are by default."""
    mode: Literal["jit", "shard_map", "pmap"] = field(default="jit", metadata=_HOW)
    """Spelling of the data-parallel step; all three compute the same."""
    steps_per_call: int = field(default=16, metadata=_HOW)
    """Most steps that run on the device before the host looks at their metrics."""
    save_seconds: float = field(default=20.0, metadata=_HOW)
    """Least seconds between two checkpoints; one is also written at the end and on SIGTERM."""
    keep: int = field(default=2, metadata=_HOW)
    """Checkpoints kept: the newest one and earlier ones to fall back on."""
    tensorboard: bool = field(default=True, metadata=_HOW)
    """Write TensorBoard events beside metrics.jsonl."""
    quiet: bool = field(default=False, metadata=_HOW)
    """Print neither the start-up line nor the progress bar."""

    def __post_init__(self) -> None:
        finite(vars(self))
        for name in ("epochs", "eval_every", "steps_per_call", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("patience", "min_epochs", "save_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.devices is not None and self.devices < 1:
            raise ValueError(f"devices must be 1 or more, got {self.devices}")
        if self.mode not in ("jit", "shard_map", "pmap"):
            raise ValueError(f"mode {self.mode!r}: choose 'jit', 'shard_map' or 'pmap'")


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, step sizes and batches; `mmjax.training.optimiser` makes the transformation."""

    optimiser: Literal["adam", "sgd"] = "adam"
    """Update rule."""
    learning_rate: float = 1e-3
    """Largest step size."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Step size behind the warm-up: constant, or down to `floor` at the last step along a line or
    half a cosine."""
    decay: float = 1.0
    """Factor on a constant step size after each epoch."""
    floor: float = 0.0
    """Step size that is never gone below; with `decay`, the last epoch's that is not below it."""
    warmup_steps: int = 0
    """Steps in which the step size rises along a line."""
    warmup_share: float = 0.0
    """The same as a share of all steps, instead of their number."""
    warmup_from_zero: bool = True
    """The first step has size 0 and the one behind the warm-up the full size; False: the first
    step of n has a n-th of it, and the n-th step the full size."""
    weight_decay: float = 0.0
    """Multiple of the parameters by which they shrink."""
    decoupled: bool = False
    """Shrink apart from the gradient, by step size times `weight_decay` (AdamW); False adds the
    multiple to the gradient before the moments (L2)."""
    undecayed: tuple[str, ...] = ()
    """Last names of the parameters that do not decay, such as bias, scale, keys."""
    decayed_ndim: int = 0
    """Fewest axes of a parameter that decays; 2 leaves out biases and the scales of norms."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""
    eps: float = 1e-8
    """Term beside the root of Adam's second moment."""
    momentum: float = 0.0
    """Of sgd: the step is the decayed sum of gradients, without dampening."""
    clip: float = 0.0
    """Largest global norm of a gradient; 0 does not clip."""
    batch_size: int = 2048
    """Rows a step."""
    accumulate: int = 1
    """Steps whose mean gradient makes one update."""

    def __post_init__(self) -> None:
        finite(vars(self))
        if self.optimiser not in ("adam", "sgd"):
            raise ValueError(f"optimiser {self.optimiser!r}: choose 'adam' or 'sgd'")
        if self.schedule not in ("constant", "linear", "cosine"):
            raise ValueError(f"schedule {self.schedule!r}: choose 'constant', 'linear' or 'cosine'")
        for name in ("batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("learning_rate", "floor", "warmup_steps", "weight_decay", "momentum", "clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be in (0, 1], got {self.decay}")
        if not 0 <= self.warmup_share <= 1:
            raise ValueError(f"warmup_share must be in [0, 1], got {self.warmup_share}")
        if self.warmup_steps and self.warmup_share:
            raise ValueError("warmup_steps and warmup_share say the same: give one of them")
        if self.decay != 1 and self.schedule != "constant":
            raise ValueError(f"decay {self.decay} goes with a constant schedule alone")


def to_json(value: Any, where: str = "config") -> Any:
    """Dataclasses, mappings, sequences, paths and numpy scalars as plain JSON values.

    Raises:
        TypeError: a value has no JSON form; the message says where it is.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
        return {n: to_json(getattr(value, n), f"{where}.{n}") for n in names}
    if isinstance(value, Mapping):
        return {str(k): to_json(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [to_json(v, f"{where}[{n}]") for n, v in enumerate(ordered)]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    raise TypeError(f"{where} is a {type(value).__name__}, which has no JSON form")


def execution_fields(value: Any, where: str = "") -> Iterator[str]:
    """Dotted names of the fields below `value` that are marked as EXECUTION."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            if f.metadata.get(EXECUTION):
                yield where + f.name
            else:
                yield from execution_fields(getattr(value, f.name), f"{where}{f.name}.")
    elif isinstance(value, Mapping):
        for k, v in value.items():
            yield from execution_fields(v, f"{where}{k}.")


def flatten(value: Any, where: str = "") -> dict[str, Any]:
    """JSON values by dotted name; a list is a value."""
    if not isinstance(value, dict) or not value:
        return {where: value}
    join = f"{where}." if where else ""
    return {k: v for name in value for k, v in flatten(value[name], join + name).items()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line ``name: old -> new`` for every dotted name whose value is not the same."""
    absent = "absent"
    return [
        f"{name}: {old.get(name, absent)!r} -> {new.get(name, absent)!r}"
        for name in sorted(set(old) | set(new))
        if old.get(name, absent) != new.get(name, absent)
    ]
