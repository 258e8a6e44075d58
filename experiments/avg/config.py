"""Settings of AVG by data set, and the commands.  Imports no JAX, so that `--help` is quick."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from experiments.common.config import RunFlags
from experiments.common.experiment import Command, Experiment
from mmjax.models.retrieval.avg.config import AVGConfig, AVGTokenizerConfig
from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.run_config import HOW


@dataclass(frozen=True)
class Towers:
    """The two towers that are trained on the data themselves: the baseline, and the features."""

    size: int = 48
    """Rows and columns of the pixels that are read."""
    patch: int = 8
    """Rows and columns of a patch."""
    width: int = 128
    """Width of both towers."""
    layers: int = 4
    """Layers of the image tower; the text tower has half as many."""
    heads: int = 4
    """Attention heads."""
    projection: int = 128
    """Width of the shared space, and of the features that are quantised."""


@dataclass(frozen=True)
class Stage(OptimConfig):
    """Optimiser and length of one stage; a batch holds texts."""

    epochs: int = 100
    """Epochs."""
    eval_every: int = 1
    """Epochs between two evaluations on validation captions."""


# AdamW, linear warm-up, linear decay to zero.
_ADAMW: dict[str, Any] = {"decoupled": True, "schedule": "linear", "warmup_share": 0.1}
_TOWERS = Stage(epochs=60, learning_rate=5e-4, batch_size=256, weight_decay=0.1, **_ADAMW)
_TOKENIZER = Stage(epochs=500, batch_size=512, decoupled=True)
_MODEL = Stage(epochs=100, batch_size=128, eval_every=5, **_ADAMW)
_RANK = Stage(epochs=5, learning_rate=1e-4, batch_size=128, **_ADAMW)


@dataclass(frozen=True, kw_only=True)
class AVGRun(RunFlags):
    """AVG and its baseline on one data set."""

    data: str = "noto_emoji"
    """Data set: noto_emoji; concepts (synthetic features); or, from a manual directory, flickr8k,
    flickr30k or coco; or a file of captions of your own (CSV, Parquet, JSON of COCO or Karpathy),
    or its folder (`mmjax.data.load_captions`), whose pictures may lie in --manual-dir."""
    clip: Path | None = None
    """Folder of a published CLIP, whose features are then read; default is to train two towers."""
    codes: Literal["tokenizer", "residual_kmeans", "random"] = "tokenizer"
    """Origin of the vokens: the aligned tokenizer; k-means of the image features level by level
    (no alignment); random codes."""
    length: int = 24
    """Most words of a text, its end included."""
    min_count: int = 1
    """Words that occur less often in the trained texts are unknown."""
    pseudo_queries: int = 0
    """Training captions, the nearest by features, that are pseudo queries of each image without
    any; at 0 the language model never meets such an image."""
    towers: Towers = field(default_factory=Towers)
    """The two towers."""
    tokenizer: AVGTokenizerConfig = field(default_factory=AVGTokenizerConfig)
    """The image tokenizer."""
    model: AVGConfig = field(default_factory=AVGConfig)
    """The language model."""
    fit_towers: Stage = _TOWERS
    """Training of the towers."""
    fit_tokenizer: Stage = _TOKENIZER
    """Training of the tokenizer; the last epoch is taken."""
    fit_model: Stage = _MODEL
    """The generative stage."""
    fit_rank: Stage = _RANK
    """The discriminative stage; 0 epochs leave it out."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(patience=0, metric="recall@10", tensorboard=False)
    )
    """Selection, devices and saving; the lengths are those of the stages."""
    ks: tuple[int, ...] = (1, 5, 10)
    """Cut-offs K of the recall."""
    cache: Path | None = field(default=None, metadata=HOW)
    """Folder where features of a published CLIP are kept."""


DATA = ("noto_emoji", "concepts", "flickr8k", "flickr30k", "coco")
_LANGUAGE_MODEL = AVGConfig(width=128, layers=3, heads=4, head_width=32, hidden=512, dropout=0.1)


def _tokenizer(levels: int, codes: int, widths: tuple[int, ...] = (128,)) -> AVGTokenizerConfig:
    return AVGTokenizerConfig(widths=widths, latent=128, sizes=(codes,) * levels)


def _stage(start: Stage, **changes: Any) -> Stage:
    return dataclasses.replace(start, **changes)


_PHOTOGRAPHS = AVGRun(
    min_count=3,
    pseudo_queries=5,
    towers=Towers(size=96, patch=12, width=192, layers=6, heads=6, projection=192),
    tokenizer=_tokenizer(4, 512, (256, 128)),
    model=_LANGUAGE_MODEL,
    fit_towers=_stage(_TOWERS, epochs=30),
    fit_model=_stage(_MODEL, epochs=40, batch_size=256, eval_every=4),
)
_PRESETS = {
    "noto_emoji": AVGRun(length=16, tokenizer=_tokenizer(4, 128), model=_LANGUAGE_MODEL),
    "concepts": AVGRun(
        length=8,
        tokenizer=_tokenizer(3, 64),
        model=dataclasses.replace(_LANGUAGE_MODEL, layers=2),
        fit_model=_stage(_MODEL, epochs=20, eval_every=2),
        fit_rank=_stage(_RANK, epochs=3),
    ),
    "flickr8k": dataclasses.replace(
        _PHOTOGRAPHS,
        towers=Towers(size=96, patch=16),
        tokenizer=_tokenizer(4, 256),
        fit_towers=_stage(_TOWERS, epochs=15),
        fit_model=_stage(_MODEL, epochs=30, batch_size=256, eval_every=3),
        fit_rank=_stage(_RANK, epochs=3, batch_size=256),
    ),
    "flickr30k": _PHOTOGRAPHS,
    "coco": _PHOTOGRAPHS,
}


def preset(data: str, kind: str = "tuned") -> AVGRun:
    """The settings for `data`, sized for one small GPU or a patient CPU.

    The published sizes (T5-base, 768 wide, 4 x 1024 codes of CLIP ViT-L/14 features) are the
    defaults of `mmjax.models.retrieval.avg.config`.

    Raises:
        ValueError: no such data set, or another kind than "tuned".
    """
    if kind != "tuned":
        raise ValueError(f"--preset {kind}: AVG has tuned presets only")
    if data not in _PRESETS and not Path(data).exists():
        raise ValueError(
            f"--data {data}: choose one of {', '.join(DATA)}, or a file or folder of captions"
        )
    return dataclasses.replace(_PRESETS.get(data, _PRESETS["noto_emoji"]), data=data)


_SMOKE: dict[str, Any] = {
    "towers": Towers(size=16, patch=8, width=16, layers=1, heads=2, projection=16),
    "tokenizer.widths": (16,),
    "tokenizer.latent": 16,
    "tokenizer.sizes": (8, 8),
    "tokenizer.init_rows": 64,
    "model.width": 16,
    "model.layers": 1,
    "model.heads": 2,
    "model.head_width": 8,
    "model.hidden": 16,
    "model.rank_beams": 3,
    "length": 8,
    "fit_rank.epochs": 1,
    **{f"fit_{name}.epochs": 2 for name in ("towers", "tokenizer", "model")},
    **{
        f"fit_{name}.{field}": value
        for name in ("towers", "tokenizer", "model", "rank")
        for field, value in (("batch_size", 32), ("eval_every", 1))
    },
}


@dataclass(frozen=True)
class Search:
    """Flags of the `search` command."""

    query: tyro.conf.Positional[str]
    """Words."""
    workdir: Path | None = None
    """Folder of a finished run."""
    gallery: Path | None = None
    """Folder that `index` wrote, in place of a run."""
    k: int = 10
    """Pictures to show."""
    out: Path | None = None
    """The page to write; default search.html in the folder that is searched."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand; default is that of the run."""


@dataclass(frozen=True)
class Index:
    """Flags of the `index` command."""

    pictures: tyro.conf.Positional[Path]
    """Folder of pictures, or file of captioned ones."""
    encoder: Path
    """Folder of a published CLIP."""
    out: Path
    """Folder of the gallery to write."""
    cache: Path | None = None
    """Folder where features are kept, so that what was interrupted goes on."""


@dataclass(frozen=True)
class Cost:
    """Flags of the `cost` command, in galleries of random codes and vectors."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Images of the galleries."""
    width: int = 768
    """Width of the two towers' vectors."""
    model_width: int = 128
    """Width of the language model, of three layers."""
    codes: int = 1024
    """Codes of each of four levels."""
    beams: int = 10
    """Beams of the search."""
    queries: int = 1
    """Queries that are answered together."""
    rounds: int = 11
    """Interleaved rounds; medians are reported."""
    out: Path = Path("runs/avg_cost.json")
    """File to write; a picture and its CSV stand beside it."""


EXPERIMENT = Experiment(
    "avg",
    title="AVG (arXiv 2407.17274): pictures found by writing their discrete tokens; two towers",
    about="Train two towers, a tokenizer and AVG.",
    data=DATA,
    preset=preset,
    named={"data": DATA[0], "preset": "tuned"},
    smoke=_SMOKE,
    commands={
        "search": Command("pictures for words, by a trained run, as a page", Search),
        "index": Command("pictures made searchable by a published CLIP, untrained", Index),
        "cost": Command("time of a search as the gallery grows", Cost),
        "tables": Command("write the tables of README.md from results/"),
    },
)
