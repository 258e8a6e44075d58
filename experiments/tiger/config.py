"""Settings of TIGER and SASRec by data set, and the commands.  Imports no JAX."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from experiments.common.config import SEQUENCE_SMOKE, SequenceRun, check_data
from experiments.common.experiment import Command, Experiment
from experiments.common.recommend import Recommend
from mmjax.models.generative.tiger.config import SidConfig, TIGERConfig
from mmjax.models.sequential.sasrec.config import SASRecConfig
from mmjax.training.config import FitConfig, OptimConfig

DATA = ("amazon_beauty", "amazon_toys", "chains")

_FIT = FitConfig(epochs=200, eval_every=2, patience=20, metric="recall@10")
_SASREC = {
    # The paper's settings for its sparse sets, which Beauty is one of.
    "paper": SequenceRun(
        model=SASRecConfig(width=50, hidden=50),
        optim=OptimConfig(batch_size=128),
        fit=_FIT,
    ),
    "tuned": SequenceRun(
        model=SASRecConfig(loss="softmax"),
        optim=OptimConfig(batch_size=256),
        fit=_FIT,
    ),
}
_TIGER = {
    # 200,000 steps of 256 prefixes, as published; days on a CPU.
    "paper": SequenceRun(
        model=TIGERConfig(),
        optim=OptimConfig(batch_size=256),
        fit=dataclasses.replace(_FIT, epochs=400, eval_every=10, patience=60),
        ks=(5, 10, 20),
    ),
    # Small enough for a CPU: an epoch of Beauty takes a minute or two.
    "tuned": SequenceRun(
        model=TIGERConfig(
            ids=SidConfig(quantiser="residual_kmeans"),
            width=96,
            layers=2,
            heads=6,
            head_width=16,
            hidden=384,
            history=10,
            length_buckets=(3, 6),
            beams=20,
            user_buckets=0,
            validation_users=4000,
        ),
        optim=OptimConfig(batch_size=256, learning_rate=2e-3, decay=0.96),
        fit=dataclasses.replace(_FIT, epochs=60, eval_every=5, patience=20),
        ks=(5, 10, 20),
    ),
}
_PRESETS = {"sasrec": _SASREC, "tiger": _TIGER}
"""By method and kind."""


def preset(method: str, data: str, kind: str = "tuned") -> SequenceRun:
    """The settings of a method on `data`.

    Raises:
        ValueError: no such method, kind or data set.
    """
    if method not in _PRESETS:
        raise ValueError(f"--method {method}: choose one of {', '.join(_PRESETS)}")
    if kind not in _PRESETS[method]:
        raise ValueError(f"no preset {kind!r}: choose one of {', '.join(_PRESETS[method])}")
    check_data(data, DATA, "a prepared folder or a .csv file")
    return dataclasses.replace(_PRESETS[method][kind], method=method, data=data, preset=kind)


_SMOKE = {
    **SEQUENCE_SMOKE,
    "model.ids.sizes": (8, 4),
    "model.ids.epochs": 20,
    "model.ids.batch_size": 64,
    "model.ids.max_collisions": 1.0,
}
"""Ids that so few items can fill."""


@dataclass(frozen=True)
class Features:
    """Flags of the `features` command."""

    model: Path
    """Folder of the encoder."""
    out: Path
    """The .npy file to write."""
    data: str = "amazon_beauty"
    """Data set whose items have titles and tags."""
    batch_size: int = 128
    """Texts that the device reads at once."""


EXPERIMENT = Experiment(
    "tiger",
    title="TIGER (arXiv 2305.05065), generative retrieval, beside SASRec",
    about="Train a model of what a user meets next.",
    data=DATA,
    preset=preset,
    named={"method": "sasrec", "data": DATA[0], "preset": "tuned"},
    smoke=_SMOKE,
    commands={
        "recommend": Command("what comes next for users of a run's folder, with names", Recommend),
        "features": Command("text features of the items by a published encoder", Features),
        "tables": Command("write the tables of README.md from results/*.json"),
    },
)
