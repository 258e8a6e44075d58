"""The flags of the training commands.  Imports no JAX, so that `--help` answers at once."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.run_config import HOW, RunConfig
from mmjax.training.values import finite, split_words

ModelT = TypeVar("ModelT")


@dataclass(frozen=True, kw_only=True)
class RunFlags(RunConfig):
    """Flags of every training command."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_model(getattr(self, "model", None))
        ks = getattr(self, "ks", (1,))
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError(f"--ks {' '.join(map(str, ks))}: give distinct numbers, 1 or more")

    smoke: bool = False
    """A 30-second check of the whole path with a tiny model; its figures mean nothing."""
    preset: Literal["tuned", "paper"] = field(default="tuned", metadata=HOW)
    """Where the defaults come from: chosen on validation here, or published."""
    data_dir: Path | None = field(default=None, metadata=HOW)
    """Where prepared data are cached; default ~/.cache/mmjax or $MMJAX_DATA."""
    manual_dir: Path | None = field(default=None, metadata=HOW)
    """Where data sets that cannot be shipped were put by hand."""


@dataclass(frozen=True)
class PairOptim(OptimConfig):
    """Optimiser of a recommender, and the negatives of its batches."""

    negatives: int = 1
    """Negatives drawn for each pair; 0 for methods without any."""
    sampler: Literal["unseen", "uniform", "fixed"] = "unseen"
    """unseen: uniform over the items of the training split that the user has not; uniform: over
    all items, positives included; fixed: unseen, drawn once for the whole run, each in a row of
    its own (MetaMMF)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negatives < 0:
            raise ValueError(f"negatives must be 0 or more, got {self.negatives}")


@dataclass(frozen=True, kw_only=True)
class Run(RunFlags, Generic[ModelT]):
    """One recommender of users and items on one data set."""

    model: ModelT
    """Hyper-parameters of the method."""
    data: str = "lastfm_2k"
    """Data set: lastfm_2k, tiktok, ml_small_mm, amazon_beauty, amazon_toys, amazon_baby,
    amazon_sports, amazon_clothing, communities (synthetic), or a folder in MMRec's format, such
    as `python -m experiments prepare` writes."""
    method: str = "mig_gt"
    """Method, a key of `mmjax.models.registry.METHODS`; presets exist for each data set."""
    optim: PairOptim = field(default_factory=PairOptim)
    """Optimiser and sampling."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length, evaluation and devices of the training."""
    exclude: Literal["train", "train+held_out"] = "train"
    """Items left out of a ranking: those that the user has in train (MMRec's protocol), or those
    of the other held-out split too (MIG-GT's code, which flatters against MMRec's tables)."""
    ks: tuple[int, ...] = (5, 10, 20, 50)
    """Cut-offs K of the metrics."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the frozen item features on the device."""
    baselines: tuple[str, ...] = field(default=(), metadata=HOW)
    """Methods to train under the same protocol, for the table and the report."""
    warm_start: Path | None = field(default=None, metadata=HOW)
    """Folder of a run of the same method whose parameters training starts from; users and items
    that it did not have start anew."""


@dataclass(frozen=True, kw_only=True)
class SequenceRun(RunFlags, Generic[ModelT]):
    """One method on one data set of sequences."""

    model: ModelT
    """Hyper-parameters of the method."""
    data: str = "amazon_beauty"
    """Data set: amazon_beauty, amazon_toys, chains (synthetic), a folder that `python -m
    experiments prepare` wrote, or a .csv file with the columns user, item and timestamp."""
    k_core: int = field(default=5, metadata=HOW)
    """Fewest interactions of a user and of an item of a .csv file; 0 keeps all."""
    method: str = "sasrec"
    """Method, a key of `mmjax.models.registry.METHODS` of the kind "sequences"."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser; a batch holds sequences."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length, evaluation and devices of the training."""
    filter_seen: bool = False
    """Leave items of the history out of a ranking; TIGER and its baselines rank all items."""
    ks: tuple[int, ...] = (5, 10)
    """Cut-offs K of the metrics."""
    baselines: tuple[str, ...] = field(default=(), metadata=HOW)
    """Methods to train under the same protocol, for the table and the report."""

    @property
    def exclude(self) -> str:
        """Rule of what rankings leave out, as records say it."""
        return "history" if self.filter_seen else "none"


SMOKE: dict[str, Any] = {
    "model.width": 8,
    "model.hidden": 16,
    "model.samples": lambda n: 2 if n else 0,
    "optim.batch_size": 8000,
    "optim.negatives": lambda n: min(n, 4),
    "fit.epochs": 4,
    "fit.eval_every": 2,
}
"""The smoke form of a recommender: a tiny model for four epochs."""
SEQUENCE_SMOKE: dict[str, Any] = {
    "model.width": 16,
    "model.hidden": 16,
    "model.layers": 1,
    "model.heads": 1,
    "optim.batch_size": 64,
    "optim.learning_rate": 1e-2,
    "fit.epochs": 4,
    "fit.eval_every": 2,
}
"""The smoke form of a model of sequences."""


def check_model(model: Any) -> None:
    """Refuse hyper-parameters that mean nothing, whatever the method.

    Raises:
        ValueError: a number that is not finite, a width below 1, or a dropout outside [0, 1).
    """
    values = vars(model) if hasattr(model, "__dict__") else {}
    finite({f"--model.{name}": value for name, value in values.items()})
    for name, value in values.items():
        flag = f"--model.{name.replace('_', '-')}"
        if name in ("width", "heads") and value < 1:
            raise ValueError(f"{flag} {value}: give 1 or more")
        share = name.endswith("dropout") and not isinstance(value, bool)
        if share and not 0 <= value < 1:
            raise ValueError(f"{flag} {value}: give a share in [0, 1)")


def is_path(data: str) -> bool:
    """Whether a word for data is the place of a folder or file, and no name."""
    return any(mark in data for mark in ("/", os.sep, ".")) or Path(data).exists()


def check_data(data: str, known: tuple[str, ...], own: str = "a folder") -> None:
    """Refuse a name that is no data set of an experiment and no file or folder of the user.

    Raises:
        ValueError: naming what there is; `own` says what else may be given.
    """
    if data not in known and not Path(data).exists():
        raise ValueError(f"--data {data}: choose one of {', '.join(known)}, or give {own}")


def parse_assignment(text: str) -> tuple[str, list[Any]]:
    """``"model.hops=[2,1],[1,1]"`` as field and candidate values, see `split_words`.

    Raises:
        ValueError: there is no ``=`` or no value.
    """
    name, sign, values = text.partition("=")
    if not sign or not values:
        raise ValueError(f"{text!r} is not of the form field=value,value,...")
    return name, split_words(values)


def fixed_fields(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Fields with one value each, or a tuple of them, of assignments such as ``fit.epochs=50``.

    Raises:
        ValueError: an assignment is not of the form field=value.
    """
    parsed = map(parse_assignment, assignments)
    return {name: values[0] if len(values) == 1 else tuple(values) for name, values in parsed}
