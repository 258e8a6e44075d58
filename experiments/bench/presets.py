"""Every method's settings and its grid under the bench's protocol.

The protocol is that of MMRec, with selection on validation: width 64, Adam, batches of 2,048 pairs
with unseen negatives. MIG-GT, MGDCF, LightGCN and BPR-MF keep the settings that their own
experiment tuned; MetaMMF and AD-DRL start from those of theirs. A grid's first point is the
preset; the others are tried on validation.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.ad_drl import presets as ad_drl
from experiments.common.config import Optim, Run, override
from experiments.common.methods import METHODS
from experiments.meta_mmf import presets as meta_mmf
from experiments.mig_gt import presets as mig_gt
from mmjax.training.config import FitConfig

DATA = ("lastfm_2k", "tiktok", "ml_small_mm", "communities")
FIT = FitConfig(epochs=200, eval_every=5, patience=30)

Point = Mapping[str, Any]


def _points(
    *changes: Point, negatives: int = 16, rate: float = 5e-3, **optim: float
) -> tuple[Point, ...]:
    """Points that share the settings of the optimiser unless they say otherwise."""
    shared = {"optim.learning_rate": rate, "optim.negatives": negatives}
    shared |= {f"optim.{name}": value for name, value in optim.items()}
    return tuple({**shared, **change} for change in changes)


_SLOWER = {"optim.learning_rate": 1e-3}
# A tenth of the authors' environment and mask epochs, which would take hours on a CPU.
_SHORT_INVRL = {
    "model.rounds": 2,
    "model.environment_epochs": 5,
    "model.repetitions": 3,
    "model.mask_epochs": 20,
}
GRIDS: dict[str, Sequence[Point]] = {
    "vbpr": _points({"model.l2": 0.1}, {"model.l2": 0.01}, {"model.l2": 0.1, **_SLOWER}),
    "mmgcn": _points({}, _SLOWER),
    "grcn": _points({}, _SLOWER),
    "lattice": _points({}, _SLOWER),
    "slmrec": _points({}, _SLOWER, negatives=0, weight_decay=1e-4),
    "bm3": _points({}, _SLOWER, negatives=0),
    "freedom": _points({}, _SLOWER, {"model.dropout": 0.5}, {"optim.negatives": 1}),
    "mgcn": _points({}, {"model.contrast": 0.1}, decay=0.9992),
    "lgmrec": _points({}, {"model.alpha": 0.6}),
    "smore": _points({}, {"model.k": (20,)}, decay=0.9992),
    "invrl": _points(_SHORT_INVRL, negatives=50, rate=3e-3, batch_size=512),
    "ad_drl": ({}, {"optim.learning_rate": 3e-3}),
    "meta_mmf": ({}, {"model.head": "mf"}),
}
"""Points of each method's grid; a method without one has its preset alone."""


def grid(method: str) -> Sequence[Point]:
    """The points that are tried for a method, the preset first."""
    return GRIDS.get(method, ({},))


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings that a method's grid starts from.

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    if method in mig_gt.METHODS:
        return mig_gt.preset(method, data, kind)
    if method == "ad_drl":
        named = data in ad_drl.DATA
        changes = {} if named else {"model.attributes": (), "model.rest": 4}
        return override(ad_drl.preset(data, kind), changes)
    if method == "meta_mmf":
        return meta_mmf.preset(data, kind)
    run = Run(METHODS[method].config_class()(), data=data, method=method, optim=Optim(), fit=FIT)
    return dataclasses.replace(override(run, grid(method)[0]), preset=kind)
