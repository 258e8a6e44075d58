"""Settings of MIG-GT and its baselines by data set, and the commands.  Imports no JAX.

The Amazon presets of MIG-GT are the paper's (section "Training" of its repository's defaults).
Those of lastfm_2k and tiktok were chosen on validation by the sweeps that README.md names.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.common import baselines
from experiments.common.baselines import PAPER_OPTIM
from experiments.common.config import SMOKE, Run, check_data
from experiments.common.experiment import Command, Experiment
from experiments.common.recommend import Recommend
from experiments.common.sweep import Sweep
from mmjax.models.multimodal.mig_gt.config import ALL, MIGGTConfig
from mmjax.training.config import FitConfig
from mmjax.training.run_config import override

_BABY = Run(
    model=MIGGTConfig(modalities=("text", "image"), hops=(2, 1), project=("image",)),
    data="amazon_baby",
    optim=PAPER_OPTIM,
    fit=FitConfig(epochs=300, eval_every=20, patience=100, metric="recall@20"),
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
    optim=dataclasses.replace(PAPER_OPTIM, floor=1e-3),
    fit=FitConfig(epochs=300, eval_every=50, patience=100, metric="recall@20"),
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
    optim=dataclasses.replace(PAPER_OPTIM, learning_rate=1e-3, decay=0.999, floor=1e-4),
    fit=FitConfig(epochs=500, eval_every=50, patience=100, metric="recall@20"),
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
    fit=FitConfig(epochs=300, eval_every=10, patience=100, metric="recall@20"),
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
    fit=FitConfig(epochs=150, eval_every=10, patience=150, metric="recall@20"),
)
_PAPER = {p.data: p for p in (E1, _TIKTOK, _FILMS, _BABY, _SPORTS, _CLOTHING, _COMMUNITIES)}
_TUNED: dict[str, dict[str, Any]] = {
    "lastfm_2k": {
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
    "tiktok": {
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
}
"""Changes to the published settings, by data set."""

_OWN: dict[str, Any] = {
    "model.modalities": (),
    "model.hops": (),
    "model.normalise": (ALL,),
    "model.project": (),
}
"""On a user's own data: every modality that is there, rows of length one, two hops each."""
DATA = tuple(_PAPER)


def preset(method: str, data: str, kind: str = "tuned") -> Run:
    """The settings of `method` on `data`; a data set without its own takes lastfm_2k's, and the
    modalities that it has.

    "tuned": chosen on validation here where that was done, else published. "paper": the authors';
    on data they did not use, those for Baby. Other methods have those of `baselines.preset`.

    Raises:
        ValueError: no such method or data set.
    """
    check_data(data, DATA, "a folder in MMRec's format")
    if method != "mig_gt":
        return baselines.preset(method, data, kind)
    start = _PAPER.get(data, E1)
    # The films are as small as lastfm_2k and nothing was tuned on them.
    known = data if data in DATA and data != "ml_small_mm" else "lastfm_2k"
    changed = override(start, _TUNED.get(known, {}) if kind == "tuned" else {})
    if data not in DATA:
        changed = override(changed, _OWN)
    return dataclasses.replace(changed, data=data, method=method, preset=kind)


@dataclass(frozen=True)
class Hops:
    """Flags of the `hops` command."""

    workdir: Path
    """Folder of the sweep; the same command on it goes on where it stopped."""
    data: str = "lastfm_2k"
    """Data set."""
    first: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Hop counts of the first modality; -1 leaves it out."""
    second: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Hop counts of the second modality."""
    id_hops: tuple[int, ...] = ()
    """Hop counts of the id embeddings, a panel each; without any, the preset's."""
    fixed: tuple[str, ...] = ()
    """Fields set the same in all trials, such as fit.epochs=60."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Seeds per cell."""
    metric: str = "recall@20"
    """Validation metric that is drawn."""
    out: Path | None = None
    """Picture to write (.png, a .csv beside it); default hops.png in the workdir."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


EXPERIMENT = Experiment(
    "mig_gt",
    title="MIG-GT (arXiv 2412.13994) and its baselines",
    about="Train MIG-GT or a baseline.",
    data=DATA,
    preset=preset,
    named={"method": "mig_gt", "data": "lastfm_2k", "preset": "tuned"},
    smoke=SMOKE,
    commands={
        "recommend": Command("top-K with names from a run's folder", Recommend),
        "sweep": Command("grid or random search on validation, resumable", Sweep),
        "hops": Command("sweep the hop counts and draw the heat map", Hops),
        "tables": Command("write the tables of README.md from results/*.json"),
    },
)
