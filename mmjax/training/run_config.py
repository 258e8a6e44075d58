"""Settings that every run has: seeds, folder, and an identity.  Imports no JAX."""

import dataclasses
import difflib
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mmjax.training.config import EXECUTION, execution_fields, to_json
from mmjax.training.values import as_type

ConfigT = TypeVar("ConfigT")
HOW: dict[Any, Any] = {EXECUTION: True}
"""Metadata of a field that says how a run is executed and not what it computes."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The base of a run's settings; a dataclass that adds what is trained, and on what."""

    seed: int = field(default=0, metadata=HOW)
    """First seed."""
    seeds: int = field(default=1, metadata=HOW)
    """Number of seeds, counted up from the first."""
    together: bool = field(default=False, metadata=HOW)
    """Train all seeds in one program (vmapped) instead of one after the other; of no effect on
    methods of several stages."""
    workdir: Path | None = field(default=None, metadata=HOW)
    """Folder of the run: checkpoints, metrics, report. The same command on it resumes."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(
                f"--seeds {self.seeds}: give 1 or more, the number of seeds; the seed itself is "
                "--seed"
            )
        if self.seed < 0:
            raise ValueError(f"--seed {self.seed}: give 0 or more")

    def identity(self) -> dict[str, Any]:
        """All that decides the result of a run for a seed, as plain JSON values; no paths."""
        plain = to_json(self)
        for path in execution_fields(self):
            *parents, name = path.split(".")
            node = plain
            for parent in parents:
                node = node[parent]
            del node[name]
        return plain

    def digest(self) -> str:
        """Short hash of `identity` and the seeds, for folder names."""
        key = json.dumps([self.identity(), self.seed, self.seeds], sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()[:12]

    def seed_list(self) -> tuple[int, ...]:
        """The seeds of the run."""
        return tuple(range(self.seed, self.seed + self.seeds))


def override(config: ConfigT, assignments: Mapping[str, Any]) -> ConfigT:
    """`config` with dotted fields replaced, such as ``{"model.hops": (2, 1), "seed": 3}``.

    Values are read by the types of the fields: a list, or a single value, for a field that holds a
    tuple becomes one, and "False" for a flag is False.

    Raises:
        ValueError: no such field, or a value that is none of its type.
    """
    for path, value in assignments.items():
        config = _replace(config, path.split("."), value, path)
    return config


def _replace(node: Any, names: list[str], value: Any, path: str) -> Any:
    known = [f.name for f in dataclasses.fields(node)]
    if names[0] not in known:
        close = difflib.get_close_matches(names[0], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no field {path!r}: {names[0]!r} is none of {', '.join(known)}{hint}")
    if len(names) > 1:
        value = _replace(getattr(node, names[0]), names[1:], value, path)
    else:
        value = as_type(value, typing.get_type_hints(type(node))[names[0]], path)
    return dataclasses.replace(node, **{names[0]: value})
