"""Settings of AD-DRL by data set, and the commands.  Imports no JAX.

The authors' data sets (Amazon Baby, Sports and ToysGames with prices and brands) cannot be had;
their settings are the defaults of `ADDRLConfig` (ToysGames) and stand in PAPER for the others.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.common import baselines
from experiments.common.config import SMOKE, PairOptim, Run
from experiments.common.experiment import Command, Experiment
from experiments.common.recommend import Answer, Recommend
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.training.config import FitConfig
from mmjax.training.run_config import override

DATA = ("ml_small_mm",)
PAPER = {
    "baby": {"l2": 0.0, "intra": 1.0, "values": 50.0, "inter": 1.0},
    "sports": {"l2": 1.0, "intra": 5.0, "values": 10.0, "inter": 0.01},
    "toys_games": {"l2": 1.0, "intra": 1.0, "values": 10.0, "inter": 0.01},
}
"""Loss weights of the authors; 4 negatives on Baby, 8 elsewhere; Adam 1e-4, batches of 1024."""
GRID: Sequence[Mapping[str, Any]] = ({}, {"optim.learning_rate": 3e-3})
"""Points over the tuned preset that the bench compares on validation."""

_FILMS = Run(
    model=ADDRLConfig(attributes=("genre", "decade", "popularity", "certificate")),
    data="ml_small_mm",
    method="ad_drl",
    optim=PairOptim(learning_rate=1e-4, batch_size=1024, negatives=8),
    fit=FitConfig(epochs=1000, eval_every=5, patience=75, metric="recall@20"),
)
_TUNED = {"optim.learning_rate": 1e-3, "optim.negatives": 4, "fit.epochs": 300, "fit.patience": 30}
_ELSEWHERE = {"model.attributes": (), "model.rest": 4}
"""Changes on other data: the attributes that they have, or four factors without any."""


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings of `method` on `data`; methods beside AD-DRL have those of `baselines.preset`.

    "paper": the authors' for ToysGames; "tuned": with a larger step and fewer negatives, which the
    bench's grid compares on validation with one other step.

    Raises:
        ValueError: no such method.
    """
    if method != "ad_drl":
        return baselines.preset(method, data, kind)
    start = override(_FILMS, _TUNED if kind == "tuned" else {})
    start = override(start, {} if data in DATA else _ELSEWHERE)
    return dataclasses.replace(start, data=data, preset=kind)


@dataclass(frozen=True)
class Explain(Answer):
    """Flags of the `explain` command."""

    k: int = 5
    """Items per user."""


@dataclass(frozen=True)
class Control:
    """Flags of the `control` command."""

    workdir: Path
    """Folder of a run."""
    attributes: tuple[str, ...] = ()
    """Attributes to steer, one at a time; without any, all that have a factor."""
    weights: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    """Weights of the attribute's factor; the other factors keep 1."""
    k: int = 10
    """Recommended items that are looked at."""
    out: Path | None = None
    """Picture to write (.png, a .csv beside it); default control.png in the workdir."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


EXPERIMENT = Experiment(
    "ad_drl",
    title="AD-DRL (arXiv 2312.14433), what drives its scores and how to steer it",
    about="Train AD-DRL, or a baseline, on a data set whose items have attributes.",
    data=DATA,
    preset=preset,
    named={"method": "ad_drl", "data": DATA[0], "preset": "tuned"},
    smoke=SMOKE,
    commands={
        "recommend": Command("top-K with names from a run's folder", Recommend),
        "explain": Command("the same with what drives each recommendation", Explain),
        "control": Command("turn an attribute's factor up and down, draw what changes", Control),
        "tables": Command("write the table of README.md from results/"),
    },
)
