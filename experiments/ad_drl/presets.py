"""Hyper-parameters by data set.  Imports no JAX.

The authors' data sets (Amazon Baby, Sports and ToysGames with prices and brands) cannot be had;
their settings are the defaults of `ADDRLConfig` (ToysGames) and stand in PAPER for the others.
"""

import dataclasses

from experiments.common.config import Optim, Run, override
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.training.config import FitConfig

DATA = ("ml_small_mm",)
PAPER = {
    "baby": {"l2": 0.0, "intra": 1.0, "values": 50.0, "inter": 1.0},
    "sports": {"l2": 1.0, "intra": 5.0, "values": 10.0, "inter": 0.01},
    "toys_games": {"l2": 1.0, "intra": 1.0, "values": 10.0, "inter": 0.01},
}
"""Loss weights of the authors; 4 negatives on Baby, 8 elsewhere; Adam 1e-4, batches of 1024."""

_FILMS = Run(
    model=ADDRLConfig(attributes=("genre", "decade", "popularity", "certificate")),
    data="ml_small_mm",
    method="ad_drl",
    optim=Optim(learning_rate=1e-4, batch_size=1024, negatives=8),
    fit=FitConfig(epochs=1000, eval_every=5, patience=75),
)
_TUNED = {"optim.learning_rate": 1e-3, "optim.negatives": 4, "fit.epochs": 300, "fit.patience": 30}


def preset(data: str, kind: str = "tuned") -> Run:
    """The settings of AD-DRL on `data`.

    "paper": the authors' for ToysGames; "tuned": with a larger step and fewer negatives, which the
    bench's grid compares on validation with one other step.
    """
    start = override(_FILMS, _TUNED if kind == "tuned" else {})
    return dataclasses.replace(start, data=data, preset=kind)
