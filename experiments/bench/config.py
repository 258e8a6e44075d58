"""The flags of the bench, and every method's settings and grid.  Imports no JAX.

The protocol is that of MMRec, with selection on validation: width 64, Adam, batches of 2,048 pairs
with unseen negatives. MIG-GT, MGDCF, LightGCN and BPR-MF keep the settings that their experiment
tuned; MetaMMF and AD-DRL start from those of theirs. A grid's first point is the preset; the others
are tried on validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.ad_drl import config as ad_drl
from experiments.common import baselines, config
from experiments.common.config import Run, RunFlags, fixed_fields
from experiments.common.experiment import Command, Experiment
from experiments.meta_mmf import config as meta_mmf
from experiments.mig_gt import config as mig_gt
from mmjax.models.registry import of_kind
from mmjax.training.run_config import HOW

DATA = ("lastfm_2k", "tiktok", "ml_small_mm", "communities")
_OWN = {"mig_gt": mig_gt.preset, "ad_drl": ad_drl.preset, "meta_mmf": meta_mmf.preset}
"""Presets of the methods with an experiment of their own."""
METHODS = tuple(m for m in of_kind("interactions", stages=True) if m in {*_OWN, *baselines.METHODS})
"""Methods that the bench trains."""
GRIDS: dict[str, Sequence[Mapping[str, Any]]] = {
    **baselines.GRIDS,
    "ad_drl": ad_drl.GRID,
    "meta_mmf": meta_mmf.GRID,
}
"""Points of each method's grid; a method without one has its preset alone."""
SMOKE = {
    **config.SMOKE,
    # InvRL's own stages.
    "model.environments": 3,
    "model.rounds": 1,
    "model.environment_epochs": 1,
    "model.repetitions": 1,
    "model.mask_epochs": 2,
}


def grid(method: str) -> Sequence[Mapping[str, Any]]:
    """The points that are tried for a method, the preset first."""
    return GRIDS.get(method, ({},))


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings that a method's grid starts from.

    Raises:
        ValueError: no such method or data set.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    return _OWN.get(method, baselines.preset)(method=method, data=data, kind=kind)


@dataclass(frozen=True, kw_only=True)
class Bench(RunFlags):
    """Which methods meet on which data."""

    data: tuple[str, ...] = ("lastfm_2k",)
    """Data sets, or folders in MMRec's format."""
    models: tuple[str, ...] = METHODS
    """Methods."""
    seeds: int = field(default=5, metadata=HOW)
    """Seeds of every method, counted up from the first; the same for all, so that they pair up."""
    grid: bool = True
    """Choose among the points of each method's grid on validation first, with the first seed;
    False takes the first point."""
    reference: str = ""
    """Method that the others are tested against in the table; none names the best one."""
    fixed: tuple[str, ...] = ()
    """Fields set the same for all methods, whatever their grids say, such as fit.epochs=50."""
    set: tuple[str, ...] = ()
    """Fields of one method, such as mig_gt.model.hops=2,2; they go before those of all."""
    devices: int | None = field(default=None, metadata=HOW)
    """Devices to train on; default all."""
    workdir: Path = field(default=Path("runs/bench"), metadata=HOW)
    """Folder of the bench; the same command on it goes on where it stopped."""


def chosen_fields(flags: Bench, method: str) -> dict[str, Any]:
    """The fields of a method that `fixed` and `set` name, by field.

    Raises:
        ValueError: an assignment is not of its form, or names a method that is not in the bench.
    """
    own: dict[str, Any] = {}
    for name, value in fixed_fields(flags.set).items():
        owner, _, path = name.partition(".")
        if owner not in METHODS or not path:
            raise ValueError(f"--set {name}: begin with one of {', '.join(METHODS)} and a dot")
        if owner == method:
            own[path] = value
    return {**fixed_fields(flags.fixed), **own}


def flags_of(kind: str = "tuned") -> Bench:
    """The flags of the bench over presets of one kind."""
    return Bench(preset="paper" if kind == "paper" else "tuned")


EXPERIMENT = Experiment(
    "bench",
    title="The recommender bench, every method under one protocol",
    about="Choose each method's settings on validation, train its seeds, test once, compare.",
    data=DATA,
    preset=flags_of,
    commands={"tables": Command("write the tables of README.md from results/*.json")},
)
