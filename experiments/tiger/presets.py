"""Settings by method and data set.  Imports no JAX."""

import dataclasses

from experiments.common.config import Adam
from experiments.common.sequences.config import SequenceRun
from mmjax.models.generative.tiger.config import SidConfig, TIGERConfig
from mmjax.models.sequential.sasrec.config import SASRecConfig
from mmjax.training.config import FitConfig

DATA = ("amazon_beauty", "amazon_toys", "chains")

_FIT = FitConfig(epochs=200, eval_every=2, patience=20, metric="recall@10")
_SASREC = {
    # The paper's settings for its sparse sets, which Beauty is one of.
    "paper": SequenceRun(
        SASRecConfig(width=50, hidden=50),
        optim=Adam(batch_size=128),
        fit=_FIT,
    ),
    "tuned": SequenceRun(
        SASRecConfig(loss="softmax"),
        optim=Adam(batch_size=256),
        fit=_FIT,
    ),
}
_TIGER = {
    # 200,000 steps of 256 prefixes, as published; days on a CPU.
    "paper": SequenceRun(
        TIGERConfig(),
        optim=Adam(batch_size=256),
        fit=dataclasses.replace(_FIT, epochs=400, eval_every=10, patience=60),
        ks=(5, 10, 20),
    ),
    # Small enough for a CPU: an epoch of Beauty takes a minute or two.
    "tuned": SequenceRun(
        TIGERConfig(
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
        optim=Adam(batch_size=256, learning_rate=2e-3, decay=0.96),
        fit=dataclasses.replace(_FIT, epochs=60, eval_every=5, patience=20),
        ks=(5, 10, 20),
    ),
}
_PRESETS = {"sasrec": _SASREC, "tiger": _TIGER}
"""By method and kind; a new method is a line here and one in `SEQUENCE_METHODS`."""


def preset(method: str, data: str, kind: str = "tuned") -> SequenceRun:
    """The settings of a method on `data`.

    Raises:
        ValueError: no such method or kind.
    """
    if method not in _PRESETS or kind not in _PRESETS[method]:
        raise ValueError(f"no preset {kind!r} of method {method!r}; methods: {', '.join(_PRESETS)}")
    return dataclasses.replace(_PRESETS[method][kind], method=method, data=data, preset=kind)
