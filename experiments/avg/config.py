"""The flags of the AVG experiment.  Imports no JAX, so that `--help` answers at once."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from experiments.common.config import Identified
from mmjax.models.retrieval.avg.config import AVGConfig, AVGTokenizerConfig
from mmjax.training.config import EXECUTION, FitConfig

_HOW = {EXECUTION: True}


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
class Stage:
    """How one stage is trained: AdamW, linear warm-up, linear decay to zero."""

    epochs: int
    """Epochs."""
    learning_rate: float = 1e-3
    """Largest step size."""
    batch_size: int = 128
    """Texts a step."""
    warmup: float = 0.1
    """Share of the steps in which the step size rises; -1 keeps it constant throughout."""
    weight_decay: float = 0.0
    """Of AdamW."""
    eval_every: int = 1
    """Epochs between two evaluations on validation captions."""


@dataclass(frozen=True)
class AVGRun(Identified):
    """AVG and its baseline on one data set."""

    data: str = "noto_emoji"
    """Data set: noto_emoji; concepts (synthetic features); or, from a manual directory, flickr8k,
    flickr30k or coco."""
    clip: Path | None = None
    """Folder of a published CLIP, whose features are then read; default is to train two towers."""
    codes: Literal["tokenizer", "residual_kmeans", "random"] = "tokenizer"
    """Where vokens come from: the aligned tokenizer; k-means of the image features level by level
    (no alignment); random codes."""
    length: int = 24
    """Most words of a text, its end included."""
    least: int = 1
    """Words that occur less often in the trained texts are unknown."""
    borrowed: int = 0
    """Training captions, the nearest by features, that are pseudo queries of each image without
    any; at 0 the language model never meets such an image."""
    towers: Towers = field(default_factory=Towers)
    """The two towers."""
    tokenizer: AVGTokenizerConfig = field(default_factory=AVGTokenizerConfig)
    """The image tokenizer."""
    model: AVGConfig = field(default_factory=AVGConfig)
    """The language model."""
    fit_towers: Stage = field(default_factory=lambda: Stage(60, 5e-4, 256, weight_decay=0.1))
    """Training of the towers."""
    fit_tokenizer: Stage = field(default_factory=lambda: Stage(500, 1e-3, 512, warmup=-1.0))
    """Training of the tokenizer; the last epoch is taken."""
    fit_model: Stage = field(default_factory=lambda: Stage(100, eval_every=5))
    """The generative stage."""
    fit_rank: Stage = field(default_factory=lambda: Stage(5, 1e-4))
    """The discriminative stage; 0 epochs leave it out."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(patience=0, metric="recall@20", tensorboard=False)
    )
    """Devices and saving; the lengths are those of the stages."""
    ks: tuple[int, ...] = (1, 5, 10)
    """Cut-offs K of the recall."""
    smoke: bool = False
    """A check of the whole path with tiny models on few emoji; its figures mean nothing."""
    seed: int = field(default=0, metadata=_HOW)
    """First seed."""
    seeds: int = field(default=1, metadata=_HOW)
    """Number of seeds, counted up from the first; each is trained by itself."""
    workdir: Path | None = field(default=None, metadata=_HOW)
    """Folder of the run: a folder a stage, and record.json. The same command resumes."""
    manual_dir: Path | None = field(default=None, metadata=_HOW)
    """Where data sets that cannot be shipped were put by hand."""
    cache: Path | None = field(default=None, metadata=_HOW)
    """Folder where features of a published CLIP are kept."""


@dataclass(frozen=True)
class Search:
    """What to search, and where the page goes."""

    query: tyro.conf.Positional[str]
    """Words."""
    workdir: Path
    """Folder of a finished run."""
    k: int = 10
    """Pictures to show."""
    out: Path | None = None
    """The page to write; default search.html in the run's folder."""


@dataclass(frozen=True)
class Cost:
    """How long a search takes in galleries of random codes and vectors."""

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


def shrink(run: AVGRun) -> AVGRun:
    """The smoke form of `run`."""
    few = {"epochs": 2, "batch_size": 32, "eval_every": 1}
    tokenizer = dataclasses.replace(
        run.tokenizer, widths=(16,), latent=16, sizes=(8,) * 2, init_rows=64
    )
    model = dataclasses.replace(
        run.model, width=16, layers=1, heads=2, head_width=8, hidden=16, rank_beams=3
    )
    return dataclasses.replace(
        run,
        towers=Towers(size=16, patch=8, width=16, layers=1, heads=2, projection=16),
        tokenizer=tokenizer,
        model=model,
        length=8,
        **{
            name: dataclasses.replace(getattr(run, name), **few)
            for name in ("fit_towers", "fit_tokenizer", "fit_model")
        },
        fit_rank=dataclasses.replace(run.fit_rank, **(few | {"epochs": 1})),
    )
