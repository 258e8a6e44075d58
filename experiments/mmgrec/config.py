"""The flags of the MMGRec experiment.  Imports no JAX, so that `--help` answers at once."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.common.config import Adam, Identified, Optim
from mmjax.models.generative.mmgrec.config import GeneratorConfig, GraphConfig
from mmjax.models.generative.rq_vae.config import MMGREC, RQVAEConfig
from mmjax.training.config import EXECUTION, FitConfig

_HOW = {EXECUTION: True}


@dataclass(frozen=True)
class Graph:
    """Stage 0: vectors of users and items."""

    model: GraphConfig = field(default_factory=GraphConfig)
    """The encoder."""
    optim: Optim = field(default_factory=Optim)
    """Optimiser and sampling."""
    fit: FitConfig = field(default_factory=lambda: FitConfig(metric="recall@20"))
    """Length and selection."""


@dataclass(frozen=True)
class Quantiser:
    """Stage 1: codes of the item vectors."""

    model: RQVAEConfig = MMGREC
    """The residual-quantised autoencoder."""
    optim: Adam = field(default_factory=Adam)
    """Optimiser; a batch holds items."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length, and what selects the epoch, such as reconstruction/mse."""


@dataclass(frozen=True)
class Writing:
    """Optimiser of the generator, and what a batch shows it."""

    optimiser: Literal["adamw", "sgd"] = "adamw"
    """sgd: with momentum and coupled weight decay, as released."""
    learning_rate: float = 1e-3
    """Step size, behind the warm-up."""
    warmup: int = 1000
    """Steps over which the step size rises from zero."""
    momentum: float = 0.99
    """Of sgd."""
    weight_decay: float = 1e-2
    """Of adamw decoupled, of sgd added to the gradient."""
    batch_size: int = 1024
    """Rows a step, each with one source and at most `targets` targets."""
    length: int = 32
    """Most items of a history that are shown."""
    targets: int = 1
    """Most targets that share a source; at most a quarter of the user's items."""
    source_excludes_target: bool = True
    """Show no target of the row. False as released: most targets stand in the source, where they
    never do at test time."""
    redraw: bool = True
    """Draw sources anew in every epoch; False as released."""


@dataclass(frozen=True)
class Generator:
    """Stage 2: the Transformer that writes ids."""

    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    """Architecture."""
    optim: Writing = field(default_factory=Writing)
    """Optimiser and batches."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length and selection, by a constrained search of `select_width` beams."""


@dataclass(frozen=True)
class MMGRec(Identified):
    """All stages of MMGRec on one data set."""

    graph: Graph
    """Stage 0."""
    quantiser: Quantiser
    """Stage 1."""
    generator: Generator
    """Stage 2."""
    data: str = "lastfm_2k"
    """Data set: lastfm_2k, tiktok, ml_small_mm, topics (synthetic), or a folder in MMRec's
    format."""
    ids: Literal["vectors", "features", "random"] = "vectors"
    """What the ids tell: the graph's item vectors, the raw features, or nothing (the ids of the
    vectors, dealt to the items at random)."""
    vectors: Literal["graph", "features"] = "graph"
    """What the generator reads: the graph's vectors, or no graph stage at all: principal
    components of the features, a user being the mean of its items."""
    joint: bool = False
    """Train stages 0 and 1 together, by the sum of their losses."""
    widths: tuple[int, ...] = (10, 20, 50)
    """Beams of the reported searches; the widest gives the figures without a prefix."""
    select_width: int = 10
    """Beams of the search that selects the epoch."""
    official_width: int = 10
    """Beams of the unconstrained, unfiltered search of the released code."""
    ks: tuple[int, ...] = (10, 20)
    """Cut-offs K of the metrics."""
    smoke: bool = False
    """A quick check of the whole path with tiny models; its figures mean nothing."""
    preset: Literal["tuned", "paper"] = field(default="tuned", metadata=_HOW)
    """Where the defaults come from: chosen on validation here, or the released code."""
    seed: int = field(default=0, metadata=_HOW)
    """First seed."""
    seeds: int = field(default=1, metadata=_HOW)
    """Number of seeds, counted up from the first."""
    workdir: Path | None = field(default=None, metadata=_HOW)
    """Folder of the run: a folder a seed, in it one a stage. The same command on it resumes."""
    data_dir: Path | None = field(default=None, metadata=_HOW)
    """Where prepared data are cached; default ~/.cache/mmjax or $MMJAX_DATA."""
    manual_dir: Path | None = field(default=None, metadata=_HOW)
    """Where data sets that cannot be shipped were put by hand."""


@dataclass(frozen=True)
class StageRun(Identified):
    """One stage of one seed, as `mmjax.training.seeds.train_seeds` trains it."""

    method: str
    """Name of the stage."""
    settings: dict[str, Any]
    """What decides its result."""
    fit: FitConfig
    """Length and selection."""
    seed: int = field(metadata=_HOW)
    """Seed."""
    workdir: Path | None = field(default=None, metadata=_HOW)
    """Folder."""
    seeds: int = field(default=1, metadata=_HOW)
    """Always one."""
    together: bool = field(default=False, metadata=_HOW)
    """Of no effect on one seed."""


def shrink(config: MMGRec) -> MMGRec:
    """The smoke form: tiny models for a few epochs of few steps."""

    def short(stage: Any, **changes: Any) -> Any:
        fit = dataclasses.replace(stage.fit, epochs=2, eval_every=2)
        return dataclasses.replace(stage, fit=fit, **changes)

    graph, quantiser, generator = config.graph, config.quantiser, config.generator
    return dataclasses.replace(
        config,
        graph=short(
            graph,
            model=dataclasses.replace(graph.model, width=8, out_width=8),
            optim=dataclasses.replace(graph.optim, batch_size=8000, negatives=1),
        ),
        quantiser=short(
            quantiser,
            model=dataclasses.replace(
                quantiser.model, sizes=(8, 8), widths=(8,), init="residual_kmeans"
            ),
        ),
        generator=short(
            generator,
            model=dataclasses.replace(
                generator.model, layers=1, decoder_layers=1, heads=2, head_width=8, hidden=8
            ),
            optim=dataclasses.replace(generator.optim, batch_size=4000, length=4, targets=1),
        ),
        widths=(20,),
        select_width=20,
    )
