"""How long and on what to train; importable without JAX so that `--help` answers at once."""

from dataclasses import dataclass
from typing import Literal


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
    metric: str = "recall@20"
    """Validation metric that selects the best parameters."""
    maximise: bool = True
    """Whether a larger metric is better."""
    metric_digits: int | None = None
    """Round the metric to this many decimals before comparing it (MMRec: 4); None compares it
    as it is. Only a strictly better value counts as an improvement."""
    devices: int | None = None
    """Devices to split each batch over; all there are by default."""
    mode: Literal["jit", "shard_map", "pmap"] = "jit"
    """Spelling of the data-parallel step; all three compute the same."""
    steps_per_call: int = 16
    """Most steps that run on the device before the host looks at their metrics."""
    save_seconds: float = 60.0
    """Least seconds between two checkpoints; one is also written at the end and on SIGTERM."""
    keep: int = 2
    """Checkpoints kept: the newest one and earlier ones to fall back on."""
    tensorboard: bool = True
    """Write TensorBoard events beside metrics.jsonl."""
    quiet: bool = False
    """Print neither the start-up line nor the progress bar."""

    def __post_init__(self) -> None:
        positive = ("epochs", "eval_every", "steps_per_call", "keep")
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("patience", "min_epochs", "save_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.devices is not None and self.devices < 1:
            raise ValueError(f"devices must be 1 or more, got {self.devices}")


EXECUTION = frozenset(
    {
        "devices", "mode", "steps_per_call", "save_seconds", "keep", "tensorboard", "quiet",
    }
)
"""Fields that say how a run is executed and not what it computes: a run may be resumed with
other values of these."""
