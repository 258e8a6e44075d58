"""Every method's settings and its grid under the bench's protocol.

The protocol is that of MMRec, with selection on validation: width 64, Adam, batches of 2,048 pairs
with one unseen negative each. MIG-GT, MGDCF, LightGCN and BPR-MF keep the settings that their own
experiment tuned. A grid's first point is the preset; the others are tried on validation.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common.config import Optim, Run, override
from experiments.common.methods import METHODS
from experiments.mig_gt import presets as mig_gt
from mmjax.training.config import FitConfig

DATA = ("lastfm_2k", "tiktok", "communities")
FIT = FitConfig(epochs=200, eval_every=5, patience=30)

Point = Mapping[str, Any]


def _points(*changes: Point, negatives: int = 16, rate: float = 5e-3) -> tuple[Point, ...]:
    """Points that share a learning rate and a number of negatives unless they say otherwise."""
    shared = {"optim.learning_rate": rate, "optim.negatives": negatives}
    return tuple({**shared, **change} for change in changes)


_SLOWER = {"optim.learning_rate": 1e-3}
GRIDS: dict[str, Sequence[Point]] = {
    "vbpr": _points({"model.reg": 0.1}, {"model.reg": 0.01}, {"model.reg": 0.1, **_SLOWER}),
    "mmgcn": _points({}, _SLOWER, {"model.reg": 0.0}),
    "grcn": _points({}, _SLOWER, {"model.reg": 1e-2}),
    "lattice": _points({}, _SLOWER, {"model.reg": 1e-3}),
    "slmrec": _points({}, _SLOWER, {"model.alpha": 0.01}, negatives=0),
    "bm3": _points({}, _SLOWER, {"model.dropout": 0.3}, negatives=0),
    "freedom": _points({}, _SLOWER, {"model.dropout": 0.5}, {"optim.negatives": 1}),
    "mgcn": _points({}, _SLOWER, {"optim.negatives": 1}),
    "lgmrec": _points({}, _SLOWER, {"optim.negatives": 1}),
    "smore": _points({}, _SLOWER, {"optim.negatives": 1}),
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
    run = Run(METHODS[method].config_class()(), data=data, method=method, optim=Optim(), fit=FIT)
    return dataclasses.replace(override(run, grid(method)[0]), preset=kind)
