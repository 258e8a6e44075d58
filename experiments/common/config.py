"""The flags of a recommender experiment.  Imports no JAX, so that `--help` answers at once."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from mmjax.training.config import EXECUTION, FitConfig, execution_fields, to_json

ModelT = TypeVar("ModelT")
RunT = TypeVar("RunT")
_HOW = {EXECUTION: True}


@dataclass(frozen=True)
class Adam:
    """Adam and the size of the batches it sees."""

    learning_rate: float = 1e-3
    """Step size of Adam (betas 0.9 and 0.999)."""
    decay: float = 1.0
    """Factor on the step size after each epoch."""
    floor: float = 0.0
    """The step size stops decaying before it falls below this."""
    batch_size: int = 2048
    """Training pairs, or sequences, a step."""
    weight_decay: float = 0.0
    """Multiple of the parameters that is added to the gradient before Adam (coupled L2)."""


@dataclass(frozen=True)
class Optim(Adam):
    """Adam and the batches it sees."""

    negatives: int = 1
    """Negatives drawn for each pair."""
    sampler: Literal["unseen", "uniform", "fixed"] = "unseen"
    """unseen: uniform over the items of the training split that the user has not; uniform: over
    all items, positives included; fixed: unseen, drawn once for the whole run, each in a row of
    its own (MetaMMF)."""


class Identified:
    """What the dataclass of a run's flags can say about itself."""

    seed: int
    seeds: int

    def identity(self) -> dict[str, Any]:
        """What decides the result of a run for a seed, as plain JSON values; paths do not."""
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


@dataclass(frozen=True)
class Run(Identified, Generic[ModelT]):
    """One method on one data set."""

    model: ModelT
    """Hyper-parameters of the method."""
    data: str = "lastfm_2k"
    """Data set: lastfm_2k, tiktok, ml_small_mm, amazon_beauty, amazon_toys, amazon_baby,
    amazon_sports, amazon_clothing, communities (synthetic), or a folder in MMRec's format."""
    method: str = "mig_gt"
    """Method, a key of `experiments.common.methods.METHODS`; presets exist for each data set."""
    optim: Optim = field(default_factory=Optim)
    """Optimiser and sampling."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length, evaluation and devices of the training."""
    exclude: Literal["train", "train+held_out"] = "train"
    """Items left out of a ranking: the user's in train; or also in the other held-out split."""
    ks: tuple[int, ...] = (5, 10, 20, 50)
    """Cut-offs K of the metrics."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the frozen item features on the device."""
    smoke: bool = False
    """A 30-second check of the whole path with a tiny model; its figures mean nothing."""
    preset: Literal["tuned", "paper"] = field(default="tuned", metadata=_HOW)
    """Where the defaults come from: chosen on validation here, or published (MIG-GT: the
    authors' settings for Baby; baselines: MMRec's defaults)."""
    seed: int = field(default=0, metadata=_HOW)
    """First seed."""
    seeds: int = field(default=1, metadata=_HOW)
    """Number of seeds, counted up from the first."""
    together: bool = field(default=False, metadata=_HOW)
    """Train all seeds in one program (vmapped) instead of one after the other."""
    baselines: tuple[str, ...] = field(default=(), metadata=_HOW)
    """Methods to train under the same protocol, for the table and the report."""
    workdir: Path | None = field(default=None, metadata=_HOW)
    """Folder of the run: checkpoints, metrics, report. The same command on it resumes."""
    data_dir: Path | None = field(default=None, metadata=_HOW)
    """Where prepared data are cached; default ~/.cache/mmjax or $MMJAX_DATA."""
    manual_dir: Path | None = field(default=None, metadata=_HOW)
    """Where data sets that cannot be shipped were put by hand."""


def override(run: RunT, assignments: Mapping[str, Any]) -> RunT:
    """`run` with dotted fields replaced, such as ``{"model.hops": (2, 1), "seed": 3}``.

    Raises:
        ValueError: no such field.
    """
    for path, value in assignments.items():
        run = _replace(run, path.split("."), value, path)
    return run


def _replace(node: Any, names: list[str], value: Any, path: str) -> Any:
    known = [f.name for f in dataclasses.fields(node)]
    if names[0] not in known:
        raise ValueError(f"no field {path!r}: {names[0]!r} is none of {', '.join(known)}")
    if len(names) > 1:
        value = _replace(getattr(node, names[0]), names[1:], value, path)
    elif isinstance(getattr(node, names[0]), tuple) and isinstance(value, list):
        value = tuple(value)
    return dataclasses.replace(node, **{names[0]: value})


def parse_assignment(text: str) -> tuple[str, list[Any]]:
    """``"model.hops=[2,1],[1,1]"`` as field and candidate values, each read as JSON or a word.

    Raises:
        ValueError: there is no ``=`` or no value.
    """
    name, sign, values = text.partition("=")
    if not sign or not values:
        raise ValueError(f"{text!r} is not of the form field=value,value,...")
    try:
        return name, json.loads(f"[{values}]")
    except json.JSONDecodeError:
        return name, [_word(v) for v in values.split(",")]


def _word(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
