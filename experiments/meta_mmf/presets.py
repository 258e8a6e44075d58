"""Hyper-parameters by data set.  Imports no JAX.

The paper's data sets (MovieLens with trailers, TikTok, Kwai) cannot be had; "paper" is the authors'
script for MovieLens, to be run on other data with rows of length one.
"""

import dataclasses

from experiments.common.config import Optim, Run
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from mmjax.training.config import FitConfig

DATA = ("lastfm_2k", "tiktok", "ml_small_mm")
FORMS = ("none", "cp", "full")
"""Kinds of item-specific weights that the claim compares; "none" is static fusion."""

_PAPER = Run(
    model=MetaMMFConfig(normalise=True),
    method="meta_mmf",
    optim=Optim(batch_size=3000, negatives=5, sampler="fixed", weight_decay=1e-6),
    fit=FitConfig(epochs=60, eval_every=1, patience=10),
)
_SMALL = dataclasses.replace(
    _PAPER,
    model=dataclasses.replace(_PAPER.model, widths=(128, 32)),
    optim=dataclasses.replace(_PAPER.optim, learning_rate=5e-3, sampler="unseen"),
    fit=FitConfig(epochs=200, eval_every=5, patience=30),
)


def preset(data: str, kind: str = "tuned") -> Run:
    """The settings of MetaMMF on `data`.

    "paper": the authors' optimiser and widths, on rows of length one. "tuned": two smaller fusion
    layers, a larger step and negatives drawn anew, as in the bench.
    """
    return dataclasses.replace(_PAPER if kind == "paper" else _SMALL, data=data, preset=kind)
