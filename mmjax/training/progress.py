"""A run's own account on the host: history, selection, the epoch in progress."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mmjax.training.selection import Selection

Record = dict[str, Any]
"""One epoch of one seed: epoch, seed, step, seconds, elapsed, mean training metrics and, where it
was evaluated, validation metrics and whether it was the ``best`` so far."""


@dataclass
class Progress:
    """Everything that a resumed run needs beside arrays; JSON-able."""

    seeds: tuple[int, ...]
    selection: list[Selection]
    history: list[Record] = field(default_factory=list)
    sums: dict[str, list[float]] = field(default_factory=dict)
    """Sum over the steps of the epoch in progress of each metric, per seed."""
    steps: int = 0
    """Steps in `sums`."""
    evaluated: int = 0
    """Last epoch that was evaluated."""
    elapsed: float = 0.0
    """Seconds of training, evaluation and saving, over all resumptions."""
    stopped_because: str = ""
    """Why the run is finished; empty while it is not."""

    @classmethod
    def start(cls, seeds: Sequence[int]) -> "Progress":
        """Nothing has happened yet."""
        return cls(tuple(seeds), [Selection() for _ in seeds])

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Progress":
        """The inverse of `to_json`."""
        selection = [Selection(**s) for s in content["selection"]]
        return cls(**{**content, "seeds": tuple(content["seeds"]), "selection": selection})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; Python's floats survive the round trip bit for bit."""
        return asdict(self)

    @property
    def active(self) -> np.ndarray:
        """The seeds that have not stopped early, bool [seeds]."""
        return np.asarray([not s.stopped_epoch for s in self.selection])

    def add(self, metrics: Mapping[str, np.ndarray]) -> None:
        """Take in the metrics of a few steps, each ``[seeds, steps]``."""
        for name, values in metrics.items():
            old = self.sums.get(name, [0.0] * len(self.seeds))
            new = np.asarray(values, np.float64).sum(1)
            self.sums[name] = [a + float(b) for a, b in zip(old, new, strict=True)]
        self.steps += next(iter(metrics.values())).shape[1]

    def close_epoch(self, epoch: int, step: int, seconds: float) -> None:
        """Turn the sums into one record for each active seed."""
        for s, seed in enumerate(self.seeds):
            if not self.active[s]:
                continue
            means = {name: total[s] / self.steps for name, total in self.sums.items()}
            self.history.append(
                {"epoch": epoch, "seed": seed, "step": step, "seconds": round(seconds, 6)}
                | {"elapsed": round(self.elapsed, 3)}
                | {name: m if math.isfinite(m) else None for name, m in means.items()}
            )
        self.sums, self.steps = {}, 0

    def record(self, seed: int, epoch: int, values: Mapping[str, Any]) -> None:
        """Add `values` to the record of an epoch that was closed."""
        for entry in reversed(self.history):
            if (entry["epoch"], entry["seed"]) == (epoch, seed):
                entry.update(values)
                return
        raise KeyError(f"no record of epoch {epoch}, seed {seed}")
