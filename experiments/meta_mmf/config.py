"""Settings of MetaMMF by data set, and the commands.  Imports no JAX.

The paper's data sets (MovieLens with trailers, TikTok, Kwai) cannot be had; "paper" is the authors'
script for MovieLens, to be run on other data with rows of length one.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.common import baselines
from experiments.common.config import SMOKE, PairOptim, Run
from experiments.common.experiment import Command, Experiment
from experiments.common.recommend import Recommend
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from mmjax.training.config import FitConfig

DATA = ("lastfm_2k", "tiktok", "ml_small_mm")
FORMS = ("none", "cp", "full")
"""Kinds of item-specific weights that the claim compares; "none" is static fusion."""
GRID: Sequence[Mapping[str, Any]] = ({}, {"model.head": "mf"})
"""Points over the tuned preset that the bench compares on validation."""
EPOCHS = 94
"""Of the curve over depth: 1,504 steps of 2,000 triples."""

_PAPER = Run(
    model=MetaMMFConfig(normalise=True),
    method="meta_mmf",
    optim=PairOptim(batch_size=3000, negatives=5, sampler="fixed", weight_decay=1e-6),
    fit=FitConfig(epochs=60, eval_every=1, patience=10, metric="recall@20"),
)
_SMALL = dataclasses.replace(
    _PAPER,
    model=dataclasses.replace(_PAPER.model, widths=(128, 32)),
    optim=dataclasses.replace(_PAPER.optim, learning_rate=5e-3, sampler="unseen"),
    fit=FitConfig(epochs=200, eval_every=5, patience=30, metric="recall@20"),
)


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings of `method` on `data`; methods beside MetaMMF have those of `baselines.preset`.

    "paper": the authors' optimiser and widths, on rows of length one. "tuned": two smaller fusion
    layers, a larger step and negatives drawn anew, as in the bench.

    Raises:
        ValueError: no such method.
    """
    if method != "meta_mmf":
        return baselines.preset(method, data, kind)
    return dataclasses.replace(_PAPER if kind == "paper" else _SMALL, data=data, preset=kind)


@dataclass(frozen=True)
class Claim:
    """Flags of the `claim` command."""

    workdir: Path
    """Folder of the runs; the same command on it goes on where it stopped."""
    data: str = "lastfm_2k"
    """Data set."""
    seeds: int = 5
    """Seeds, counted up from 0."""
    forms: tuple[str, ...] = FORMS
    """Kinds of item-specific weights; none is static fusion."""
    head: str = "gcn"
    """What scores the vectors: mf or gcn."""
    data_dir: Path | None = None
    """Where prepared data are cached."""


@dataclass(frozen=True)
class Depth:
    """Flags of the `depth` command."""

    workdir: Path
    """Folder of the curve; the same command on it goes on where it stopped."""
    seeds: int = 5
    """Draws of items and parameters that are reported."""
    depths: tuple[int, ...] = (1, 2, 3, 4)
    """Numbers of fusion layers."""
    epochs: int = EPOCHS
    """Epochs of every training; the last parameters count."""


EXPERIMENT = Experiment(
    "meta_mmf",
    title="MetaMMF (arXiv 2501.07110), item-specific fusion against static fusion",
    about="Train MetaMMF or a baseline.",
    data=DATA,
    preset=preset,
    named={"method": "meta_mmf", "data": DATA[0], "preset": "tuned"},
    smoke=SMOKE,
    commands={
        "recommend": Command("top-K with names from a run's folder", Recommend),
        "claim": Command("item-specific against static fusion, paired over seeds", Claim),
        "depth": Command("the same on synthetic items, over 1 to 4 fusion layers", Depth),
        "tables": Command("write the tables of README.md from results/"),
    },
)
