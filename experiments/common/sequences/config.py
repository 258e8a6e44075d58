"""The flags of a model of sequences.  Imports no JAX, so that `--help` answers at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal

from experiments.common.config import Adam, Identified, ModelT
from mmjax.training.config import EXECUTION, FitConfig

_HOW = {EXECUTION: True}
METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")
"""Columns of the result tables."""


@dataclass(frozen=True)
class SequenceRun(Identified, Generic[ModelT]):
    """One method on one data set of sequences."""

    model: ModelT
    """Hyper-parameters of the method."""
    data: str = "amazon_beauty"
    """Data set: amazon_beauty, amazon_toys, chains (synthetic), or a .csv file with the columns
    user, item and timestamp."""
    method: str = "sasrec"
    """Method, a key of `experiments.common.methods.SEQUENCE_METHODS`."""
    optim: Adam = field(default_factory=Adam)
    """Optimiser; a batch holds sequences."""
    fit: FitConfig = field(default_factory=lambda: FitConfig(metric="recall@20"))
    """Length, evaluation and devices of the training."""
    filter_seen: bool = False
    """Leave items of the history out of a ranking; TIGER and its baselines rank all items."""
    ks: tuple[int, ...] = (5, 10)
    """Cut-offs K of the metrics."""
    smoke: bool = False
    """A 30-second check of the whole path with a tiny model on the synthetic chains; its figures
    mean nothing."""
    preset: Literal["tuned", "paper"] = field(default="tuned", metadata=_HOW)
    """Where the defaults come from: chosen on validation here, or published."""
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

    @property
    def mask(self) -> str:
        """What rankings leave out, as records say it."""
        return "seen" if self.filter_seen else "none"
