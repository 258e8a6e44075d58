"""Settings of MMGRec by data set, and the commands.  Imports no JAX."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.common.config import PairOptim, Run, RunFlags
from experiments.common.experiment import Command, Experiment
from experiments.common.recommend import Recommend
from mmjax.models.generative.mmgrec.config import GeneratorConfig, GraphConfig
from mmjax.models.generative.rq_vae.config import MMGREC, RQVAEConfig
from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.run_config import override


@dataclass(frozen=True)
class GraphStage:
    """Stage 0: vectors of users and items."""

    model: GraphConfig = field(default_factory=GraphConfig)
    """The encoder."""
    optim: PairOptim = field(default_factory=PairOptim)
    """Optimiser and sampling."""
    fit: FitConfig = field(default_factory=lambda: FitConfig(metric="recall@20"))
    """Length and selection."""


@dataclass(frozen=True)
class QuantiserStage:
    """Stage 1: codes of the item vectors."""

    model: RQVAEConfig = MMGREC
    """The residual-quantised autoencoder."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser; a batch holds items."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length, and the metric that selects the epoch, such as reconstruction/mse."""


@dataclass(frozen=True)
class GeneratorOptim(OptimConfig):
    """Optimiser of the generator, and the sources and targets of its batches."""

    length: int = 32
    """Most items of a history in a source."""
    targets: int = 1
    """Most targets that share a source; at most a quarter of the user's items."""
    source_excludes_target: bool = True
    """Leave the targets of a row out of its source. False as released: most targets stand in the
    source, where they never do at test time."""
    redraw: bool = True
    """Draw sources anew in every epoch; False as released."""


@dataclass(frozen=True)
class GeneratorStage:
    """Stage 2: the Transformer that writes ids."""

    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    """Architecture."""
    optim: GeneratorOptim = field(default_factory=GeneratorOptim)
    """Optimiser and batches; a batch holds rows of one source and its targets."""
    fit: FitConfig = field(default_factory=FitConfig)
    """Length and selection, by a constrained search of `select_width` beams."""


@dataclass(frozen=True, kw_only=True)
class MMGRecRun(RunFlags):
    """All stages of MMGRec on one data set."""

    graph: GraphStage
    """Stage 0."""
    quantiser: QuantiserStage
    """Stage 1."""
    generator: GeneratorStage
    """Stage 2."""
    data: str = "lastfm_2k"
    """Data set: lastfm_2k, tiktok, ml_small_mm, topics (synthetic), or a folder in MMRec's
    format."""
    ids: Literal["vectors", "features", "random"] = "vectors"
    """Origin of the ids: the graph's item vectors, the raw features, or none (the ids of the
    vectors, dealt to the items at random)."""
    vectors: Literal["graph", "features"] = "graph"
    """Inputs of the generator: the graph's vectors, or no graph stage at all: principal
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

    def recommender(self) -> Run[GraphConfig]:
        """Stage 0 as a recommender by inner products, whose data and protocol are the run's."""
        return Run(
            model=self.graph.model,
            data=self.data,
            method="mmgrec_graph",
            optim=self.graph.optim,
            fit=self.graph.fit,
            ks=self.ks,
            smoke=self.smoke,
            data_dir=self.data_dir,
            manual_dir=self.manual_dir,
        )


DATA = ("lastfm_2k", "tiktok", "ml_small_mm", "topics")
_MSE = "reconstruction/mse"
# Features have length one, since VGGish's bytes diverge raw. The released loop of the generator
# runs one epoch (`range(1)`), and its feed-forward networks have no dropout.
_PAPER = MMGRecRun(
    graph=GraphStage(
        optim=PairOptim(batch_size=3000, negatives=5, sampler="fixed", weight_decay=1e-6),
        fit=FitConfig(epochs=60, eval_every=60, patience=0, metric="recall@20"),
    ),
    quantiser=QuantiserStage(
        optim=OptimConfig(batch_size=1024, weight_decay=1e-4),
        fit=FitConfig(epochs=60, eval_every=60, patience=0, metric=_MSE, maximise=False),
    ),
    generator=GeneratorStage(
        GeneratorConfig(affine_ln=False, shared_vocab=True),
        GeneratorOptim(
            optimiser="sgd",
            momentum=0.99,
            warmup_from_zero=False,
            weight_decay=1e-5,
            batch_size=3000,
            source_excludes_target=False,
            redraw=False,
        ),
        FitConfig(epochs=60, eval_every=60, patience=0, metric="recall@10"),
    ),
)
_TUNED = MMGRecRun(
    graph=GraphStage(
        GraphConfig(hidden_dropout=0.2, output_dropout=0.0),
        PairOptim(learning_rate=5e-3, batch_size=2048, negatives=16),
        FitConfig(epochs=200, eval_every=5, patience=30, metric="recall@20"),
    ),
    quantiser=QuantiserStage(
        RQVAEConfig(
            widths=(64,),
            latent=16,
            sizes=(128,) * 3,
            normalise="standard",
            learning="ema",
            reduction="sum",
        ),
        OptimConfig(batch_size=1024),
        FitConfig(epochs=300, eval_every=50, patience=0, metric=_MSE, maximise=False),
    ),
    generator=GeneratorStage(
        GeneratorConfig(),
        GeneratorOptim(
            momentum=0.99,
            warmup_steps=1000,
            warmup_from_zero=False,
            weight_decay=1e-2,
            decoupled=True,
            batch_size=512,
            targets=4,
        ),
        FitConfig(epochs=200, eval_every=5, patience=30, metric="recall@10"),
    ),
)
_OF_DATA: dict[str, dict[str, Any]] = {
    # Six training items a user: the graph stage overfits within a few epochs.
    "tiktok": {
        "graph.optim.learning_rate": 1e-3,
        "graph.model.hidden_dropout": 0.5,
        "graph.model.output_dropout": 0.2,
    },
    "topics": {
        "graph.fit.epochs": 60,
        "quantiser.model.sizes": (16,) * 3,
        "quantiser.model.latent": 8,
        "generator.optim.batch_size": 128,
        "generator.optim.warmup_steps": 100,
        "generator.fit.epochs": 60,
        "widths": (20,),
    },
}
"""Changes to the tuned settings for small or sparse data."""


def preset(data: str, kind: str = "tuned") -> MMGRecRun:
    """The settings of MMGRec on `data`.

    "paper": the released code's, which leaves most targets in their sources, scales no feature and
    starts codebooks at random; "tuned": chosen on validation here.
    """
    start = _PAPER if kind == "paper" else override(_TUNED, _OF_DATA.get(data, {}))
    return dataclasses.replace(start, data=data, preset=kind)


_SMOKE: dict[str, Any] = {
    **{
        f"{stage}.fit.{name}": 2
        for stage in ("graph", "quantiser", "generator")
        for name in ("epochs", "eval_every")
    },
    "graph.model.width": 8,
    "graph.model.out_width": 8,
    "graph.optim.batch_size": 8000,
    "graph.optim.negatives": 1,
    "quantiser.model.sizes": (8, 8),
    "quantiser.model.widths": (8,),
    "quantiser.model.init": "residual_kmeans",
    "generator.model.layers": 1,
    "generator.model.decoder_layers": 1,
    "generator.model.heads": 2,
    "generator.model.head_width": 8,
    "generator.model.hidden": 8,
    "generator.optim.batch_size": 4000,
    "generator.optim.length": 4,
    "generator.optim.targets": 1,
    "widths": (20,),
    "select_width": 20,
}

FORMS: dict[str, dict[str, Any]] = {
    "full": {},
    "random_ids": {"ids": "random"},
    "feature_ids": {"ids": "features"},
    "no_relation": {"generator.model.relation": False},
    "no_graph": {"ids": "features", "vectors": "features"},
    "target_in_source": {"generator.optim.source_excludes_target": False},
    "joint": {"joint": True, "quantiser.model.normalise": "none"},
}
"""Changes of the ablation."""


@dataclass(frozen=True)
class Ablate:
    """Flags of the `ablate` command."""

    workdir: Path
    """Folder of the runs; the same command on it goes on where it stopped."""
    data: str = "lastfm_2k"
    """Data set."""
    seeds: int = 3
    """Seeds of every form, counted up from 0."""
    forms: tuple[str, ...] = tuple(FORMS)
    """Forms, keys of `experiments.mmgrec.config.FORMS`."""
    epochs: int | None = None
    """Most epochs of every form's generator; default is that of the preset."""
    smoke: bool = False
    """Tiny models; figures mean nothing."""
    data_dir: Path | None = None
    """Where prepared data are cached."""


@dataclass(frozen=True)
class Cost:
    """Flags of the `cost` command."""

    out: Path = Path("runs/mmgrec_cost.json")
    """File to write; a picture and its CSV stand beside it."""
    items: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Sizes of the catalogue."""
    users: int = 64
    """Users that are served together."""
    widths: tuple[int, ...] = (10, 50)
    """Beams of the searches."""
    k: int = 10
    """Items for each user."""
    seen: int = 32
    """Items of each user's history, which are the source and are left out."""
    rounds: int = 7
    """Interleaved rounds; medians are reported."""


EXPERIMENT = Experiment(
    "mmgrec",
    title="MMGRec (arXiv 2404.16555), recommendation by writing the ids of items",
    about="Train MMGRec.",
    data=DATA,
    preset=preset,
    named={"data": "lastfm_2k", "preset": "tuned"},
    smoke=_SMOKE,
    commands={
        "recommend": Command("top-K with names from a run's folder", Recommend),
        "ablate": Command("what ids, relation term, graph and honest sources are worth", Ablate),
        "cost": Command("writing ids against scoring every item as the catalogue grows", Cost),
        "tables": Command("write the tables of README.md from results/"),
    },
)
