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
GRIDS: dict[str, Sequence[Point]] = {}
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
