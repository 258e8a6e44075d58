"""Hyper-parameters by method and data set.  Imports no JAX.

The Amazon presets of MIG-GT are the paper's (section "Training" of its repository's defaults).
Those of lastfm_2k and tiktok were chosen on validation by the sweeps that README.md names.
"""

import dataclasses
from typing import Any

from experiments.common.config import Optim, Run, override
from mmjax.models.collaborative.config import BPRMFConfig, LightGCNConfig, MGDCFConfig
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig
from mmjax.training.config import FitConfig

METHODS = ("mig_gt", "light_gcn", "mgdcf", "bpr_mf")

_PAPER_OPTIM = Optim(
    learning_rate=1e-2, decay=0.99, batch_size=8000, negatives=1, sampler="uniform"
)
_BABY = Run(
    model=MIGGTConfig(modalities=("text", "image"), hops=(2, 1), project=("image",)),
    data="amazon_baby",
    optim=_PAPER_OPTIM,
    fit=FitConfig(epochs=300, eval_every=20, patience=100),
)
_SPORTS = dataclasses.replace(
    _BABY,
    data="amazon_sports",
    model=dataclasses.replace(
        _BABY.model,
        hops=(2, 3),
        input_dropout=0.2,
        hidden_dropout=0.5,
        user_dropout=0.1,
        item_dropout=0.2,
        edge_dropout=0.5,
        fused_dropout=0.2,
        l2=1e-4,
    ),
    optim=dataclasses.replace(_PAPER_OPTIM, floor=1e-3),
    fit=FitConfig(epochs=300, eval_every=50, patience=100),
)
_CLOTHING = dataclasses.replace(
    _BABY,
    data="amazon_clothing",
    model=dataclasses.replace(
        _BABY.model,
        id_hops=2,
        hops=(2, 0),
        hidden=2048,
        input_dropout=0.1,
        hidden_dropout=0.4,
        user_dropout=0.1,
        item_dropout=0.1,
        edge_dropout=0.25,
        fused_dropout=0.3,
        samples=20,
    ),
    optim=dataclasses.replace(_PAPER_OPTIM, learning_rate=1e-3, decay=0.999, floor=1e-4),
    fit=FitConfig(epochs=500, eval_every=50, patience=100),
)
E1 = dataclasses.replace(
    _BABY,
    data="lastfm_2k",
    model=dataclasses.replace(
        _BABY.model,
        modalities=("text", "audio_vggish"),
        normalise=("audio_vggish",),
        project=("audio_vggish",),
    ),
    fit=FitConfig(epochs=300, eval_every=10, patience=100),
)
"""The settings of the sanity band: Baby's hyper-parameters on lastfm_2k, untuned."""

_TIKTOK = dataclasses.replace(
    E1,
    data="tiktok",
    model=dataclasses.replace(
        E1.model, modalities=("image", "audio"), normalise=("image", "audio"), project=()
    ),
)
_FILMS = dataclasses.replace(
    E1,
    data="ml_small_mm",
    model=dataclasses.replace(
        E1.model, modalities=("text", "image"), normalise=("image",), project=()
    ),
)
_COMMUNITIES = dataclasses.replace(
    _BABY,
    data="communities",
    model=dataclasses.replace(_BABY.model, modalities=("text", "noise"), project=()),
    fit=FitConfig(epochs=150, eval_every=10, patience=150),
)
_PAPER_MIG_GT = {p.data: p for p in (E1, _TIKTOK, _FILMS, _BABY, _SPORTS, _CLOTHING, _COMMUNITIES)}
_MMREC_FIT = FitConfig(epochs=1000, eval_every=1, patience=21)
_PAPER = {
    "light_gcn": Run(LightGCNConfig(), fit=_MMREC_FIT),
    "bpr_mf": Run(BPRMFConfig(), fit=_MMREC_FIT),
    "mgdcf": Run(
        MGDCFConfig(),
        optim=dataclasses.replace(_PAPER_OPTIM, negatives=300, decay=0.995),
        fit=FitConfig(epochs=300, eval_every=5, patience=100),
    ),
}
_TUNED: dict[tuple[str, str], dict[str, Any]] = {
    ("mig_gt", "lastfm_2k"): {
        "model.item_embedding": True,
        "model.hidden": 128,
        "model.project": (),
        "model.id_hops": 2,
        "model.hops": (2, 2),
        "model.samples": 5,
        "model.l2": 1e-3,
        "optim.negatives": 16,
        "optim.decay": 1.0,
        "fit.eval_every": 5,
        "fit.patience": 50,
    },
    ("mig_gt", "tiktok"): {
        "model.item_embedding": True,
        "model.hidden": 128,
        "model.id_hops": 2,
        "model.hops": (2, 2),
        "model.samples": 5,
        "model.l2": 1e-1,
        "optim.negatives": 16,
        "optim.decay": 1.0,
        "fit.epochs": 150,
        "fit.eval_every": 5,
        "fit.patience": 30,
    },
    ("light_gcn", "tiktok"): {
        "model.hops": 3,
        "model.l2": 1e-1,
        "optim.negatives": 16,
        "fit.epochs": 150,
        "fit.eval_every": 5,
        "fit.patience": 30,
    },
    ("bpr_mf", "tiktok"): {
        "model.l2": 0.3,
        "fit.epochs": 300,
        "fit.eval_every": 5,
        "fit.patience": 30,
    },
    ("mgdcf", "tiktok"): {
        "model.hops": 3,
        "model.l2": 1e-2,
        "optim.negatives": 16,
        "optim.decay": 1.0,
        "fit.epochs": 150,
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
    ("bpr_mf", "lastfm_2k"): {
        "model.l2": 1.0,
        "fit.epochs": 600,
        "fit.eval_every": 5,
        "fit.patience": 50,
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

DATA = tuple(_PAPER_MIG_GT)


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings of `method` on `data`; a data set without its own takes lastfm_2k's.

    "tuned": chosen on validation here where that was done, else published. "paper": published
    (MIG-GT: the authors'; on data they did not use, those for Baby; baselines: MMRec's defaults).

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    start = _PAPER_MIG_GT.get(data, E1) if method == "mig_gt" else _PAPER[method]
    # The films are as small as lastfm_2k and nothing was tuned on them.
    known = data if data in DATA and data != "ml_small_mm" else "lastfm_2k"
    changed = override(start, _TUNED.get((method, known), {}) if kind == "tuned" else {})
    return dataclasses.replace(changed, data=data, method=method, preset=kind)
