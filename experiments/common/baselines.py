"""Settings of baselines, and of the recommenders without an experiment.  Imports no JAX.

LightGCN, BPR-MF and MGDCF were tuned on validation for lastfm_2k and tiktok; their published
settings are MMRec's defaults and MGDCF's own. The others have the protocol of the bench, which is
MMRec's with selection on validation: width 64, Adam, batches of 2,048 pairs with unseen negatives.
A method's first point of `GRIDS` is its preset; the bench tries the others on validation.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from experiments.common.config import PairOptim, Run, SequenceRun
from experiments.common.experiment import smoke
from mmjax.models import registry
from mmjax.models.collaborative.config import BPRMFConfig, LightGCNConfig, MGDCFConfig
from mmjax.training.config import FitConfig
from mmjax.training.run_config import override

FIT = FitConfig(epochs=200, eval_every=5, patience=30, metric="recall@20")
PAPER_OPTIM = PairOptim(
    learning_rate=1e-2, decay=0.99, batch_size=8000, negatives=1, sampler="uniform"
)
"""The optimiser of MIG-GT's authors, for it and for MGDCF."""
_MMREC_FIT = FitConfig(epochs=1000, eval_every=1, patience=21, metric="recall@20")
_PAPER = {
    "light_gcn": Run(model=LightGCNConfig(), fit=_MMREC_FIT),
    "bpr_mf": Run(model=BPRMFConfig(), fit=_MMREC_FIT),
    "mgdcf": Run(
        model=MGDCFConfig(),
        optim=dataclasses.replace(PAPER_OPTIM, negatives=300, decay=0.995),
        fit=FitConfig(epochs=300, eval_every=5, patience=100, metric="recall@20"),
    ),
}
_TUNED: dict[tuple[str, str], dict[str, Any]] = {
    ("light_gcn", "tiktok"): {
        "model.hops": 3,
        "model.l2": 1e-1,
        "optim.negatives": 16,
        "fit.epochs": 150,
        "fit.eval_every": 5,
        "fit.patience": 30,
    },
    ("light_gcn", "lastfm_2k"): {
        "model.hops": 3,
        "model.l2": 1e-1,
        "optim.learning_rate": 1e-3,
        "optim.negatives": 16,
        "fit.epochs": 600,
        "fit.eval_every": 5,
        "fit.patience": 50,
    },
    ("bpr_mf", "tiktok"): {
        "model.l2": 0.3,
        "fit.epochs": 300,
        "fit.eval_every": 5,
        "fit.patience": 30,
    },
    ("bpr_mf", "lastfm_2k"): {
        "model.l2": 1.0,
        "fit.epochs": 600,
        "fit.eval_every": 5,
        "fit.patience": 50,
    },
    ("mgdcf", "tiktok"): {
        "model.hops": 3,
        "model.l2": 1e-2,
        "optim.negatives": 16,
        "optim.decay": 1.0,
        "fit.epochs": 150,
        "fit.patience": 30,
    },
    ("mgdcf", "lastfm_2k"): {
        "model.hops": 3,
        "model.l2": 1e-2,
        "optim.negatives": 16,
        "optim.decay": 1.0,
        "fit.epochs": 400,
        "fit.patience": 50,
    },
}
"""Changes to the published settings, by method and data set."""
_NAMED = ("lastfm_2k", "tiktok", "amazon_baby", "amazon_sports", "amazon_clothing", "communities")
"""Data sets that keep the published settings where nothing was tuned on them."""

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
}
"""Points of each method's grid; a method without one has its preset alone."""
METHODS = (*_PAPER, *GRIDS)
"""Methods that have their settings here."""


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings of a method on `data`; films, and data of the user, take lastfm_2k's.

    "tuned": chosen on validation here where that was done, else published; "paper": published.

    Raises:
        ValueError: no such method, or one that has an experiment of its own.
    """
    if method not in METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(METHODS)}")
    if method in _PAPER:
        tuned = data if data in _NAMED else "lastfm_2k"
        changes = _TUNED.get((method, tuned), {}) if kind == "tuned" else {}
        run = override(_PAPER[method], changes)
    else:
        run = Run(model=registry.METHODS[method].config_class()(), fit=FIT)
        run = override(run, GRIDS[method][0])
    return dataclasses.replace(run, data=data, method=method, preset=kind)


RunT = TypeVar("RunT", Run, SequenceRun)
_SAME = {"exclude", "filter_seen", "ks", "dtype", "smoke", "seed", "seeds", "together"}
_SAME |= {"data_dir", "manual_dir"}
_EXECUTION = ("devices", "mode", "quiet", "tensorboard")


def baseline(run: RunT, method: str, preset: Callable[..., RunT], small: Mapping[str, Any]) -> RunT:
    """`method` with its own preset, under the data, protocol, seeds and devices of `run`.

    Where the run's `fit` differs from its preset's, the flag was given, and the baseline takes it.

    Args:
        run: the run that the baseline stands beside.
        method: the baseline.
        preset: settings of any method, by the keyword arguments method, data and kind.
        small: changes of a smoke run.

    Raises:
        ValueError: no such method.
    """
    own = preset(method=method, data=run.data, kind=run.preset)
    start = preset(method=run.method, data=run.data, kind=run.preset)
    given = {
        f.name: getattr(run.fit, f.name)
        for f in dataclasses.fields(run.fit)
        if f.name in _EXECUTION or getattr(run.fit, f.name) != getattr(start.fit, f.name)
    }
    if run.smoke:
        own = smoke(own, small)
    return dataclasses.replace(
        own,
        fit=dataclasses.replace(own.fit, **given),
        workdir=run.workdir and run.workdir / "baselines" / method,
        **{f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name in _SAME},
    )
