"""Settings of PromptDSI and its rivals by data set, and the commands.  Imports no JAX."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from experiments.common.config import RunFlags
from experiments.common.experiment import Command, Experiment
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.run_config import HOW

Method = Literal[
    "topic", "l2p", "s++", "coda", "classifier", "incdsi", "finetune", "ewc", "replay", "joint"
]
PROMPTED = ("topic", "l2p", "s++", "coda")
METHODS: tuple[Method, ...] = (
    *PROMPTED,
    "classifier",
    "incdsi",
    "finetune",
    "ewc",
    "replay",
    "joint",
)
DATA = (
    "topic_documents",
    "xquad",
    "nq_qed",
    "squad_sentences",
    "amazon_beauty",
    "amazon_toys",
)
MANUAL = ("nq320k", "msmarco300k")
"""Corpora that are read from --manual-dir."""
_POOL = {"topic_documents": 30, "xquad": 30, "nq_qed": 40}


@dataclass(frozen=True)
class Encoder:
    """The query encoder: a small one that is trained from scratch, or a published one."""

    folder: Path | None = None
    """Folder of a published BERT, RoBERTa, MPNet or MiniLM with its tokenizer; then the sizes
    below but `length` are its own."""
    vocabulary: int = 8192
    """Tokens, which words are hashed to."""
    width: int = 64
    """Width of the model."""
    layers: int = 4
    """Layers."""
    heads: int = 4
    """Attention heads."""
    hidden: int = 128
    """Hidden width of the feed-forward networks."""
    dropout: float = 0.1
    """Dropout rate while the encoder is trained, in [0, 1)."""
    length: int = 32
    """Tokens of a query that are read."""


@dataclass(frozen=True)
class Training:
    """Settings of one stage."""

    optim: OptimConfig
    """AdamW; biases, norms and keys are not decayed. A batch holds queries."""
    fit: FitConfig
    """Length, and selection by the F measure of validation MRR@10 of old and new documents."""


@dataclass(frozen=True)
class IncDSI:
    """The rows that are solved for (`mmjax.models.retrieval.incdsi.Margins`)."""

    balance: float = 0.5
    """Weight of the new document against the old ones, in (0, 1)."""
    new: float = 1.0
    """Margin of the new document's query."""
    old: float = 1.0
    """Margin of old queries."""
    decay: float = 1e-6
    """Weight of the row's squared norm."""
    trials: int = 30
    """Margins to try, these among them; the best on validation at the first new corpus is kept."""
    queries: int = 15
    """Training queries of a document that its cached query is the mean of, at most."""


@dataclass(frozen=True, kw_only=True)
class CorporaRun(RunFlags):
    """One method on one sequence of corpora."""

    model: PromptDSIConfig
    """Prompts and classifier."""
    encoder: Encoder = field(default_factory=Encoder)
    """Query encoder."""
    first: Training
    """The first corpus, which all methods share."""
    later: Training
    """Each corpus after it."""
    method: Method = "topic"
    """topic, l2p, s++, coda: PromptDSI with that pool; classifier: new rows alone; incdsi: new
    rows solved for; finetune, ewc, replay: encoder and all rows go on being trained; joint: they
    are trained anew on all corpora so far."""
    topics: Literal["kmeans", "hdbscan"] = "kmeans"
    """How the method topic clusters queries: into as many topics as the pool has entries, or
    into as many as HDBSCAN finds (needs scikit-learn)."""
    min_count: int = 10
    """Queries of the smallest topic that HDBSCAN may find."""
    incdsi: IncDSI = field(default_factory=IncDSI)
    """Settings of the method incdsi."""
    replay: int = 2
    """Training queries of each earlier document that the method replay keeps."""
    fisher: int = 512
    """Queries from which the method ewc estimates what mattered."""
    data: str = "topic_documents"
    """topic_documents (synthetic), xquad, nq_qed, squad_sentences, amazon_beauty, amazon_toys;
    from --manual-dir nq320k, msmarco300k; or a BEIR folder, such as `python -m experiments
    prepare-corpus` writes."""
    arrival: Literal["topic", "time"] = "topic"
    """Whether sessions keep topics whole, or follow the order of the data."""
    sessions: int = 5
    """Corpora after the first one."""
    beta: float = 1.0
    """Weight of old documents against new ones in the selection (`evaluation.continual.f_beta`)."""
    base: Path | None = field(default=None, metadata=HOW)
    """Folder of the first stage, for runs that are to share it; default is in `workdir`."""

    def first_settings(self) -> dict[str, Any]:
        """What decides the result of the first stage on its data, whatever the method."""
        model = ("pooling", "normalise", "dropout", "encoder_dropout")
        own = {name: getattr(self.model, name) for name in model}
        return own | {"encoder": self.encoder, "optim": self.first.optim}


def preset(data: str, method: str, kind: str = "tuned", encoder_folder: str = "") -> CorporaRun:
    """The settings of a method on `data`, sized for a CPU.

    Args:
        data: one of `DATA` or `MANUAL`, or a BEIR folder.
        method: one of `METHODS`.
        kind: "tuned", the only one; the paper's tables could not be obtained.
        encoder_folder: whether there is one, not which: published weights move by small steps,
            others are trained from scratch.

    Raises:
        ValueError: no such method, data set or kind.
    """
    if method not in METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(METHODS)}")
    if data not in (*DATA, *MANUAL) and not Path(data).is_dir():
        raise ValueError(
            f"--data {data}: choose one of {', '.join((*DATA, *MANUAL))}, or a BEIR folder"
        )
    if kind != "tuned":
        raise ValueError(f"no preset {kind!r}: choose tuned")
    published = bool(encoder_folder)
    first = _training(12, 4, 1e-4, 100) if published else _training(40, 6, 1e-3, 100)
    if method == "joint":
        later = first
    else:
        # An encoder that is tuned goes on by small steps.
        small, large = (1e-4, 3e-3) if published else (3e-4, 1e-2)
        rate = small if method in ("finetune", "ewc", "replay") else large
        later = _training(30, 6, rate) if published else _training(80, 12, rate)
    prompts = method if method in PROMPTED else "topic"
    return CorporaRun(
        model=PromptDSIConfig(prompts=prompts, pool=_POOL.get(data, 80), ewc=1e4),
        first=first,
        later=later,
        method=method,
        data=data,
        incdsi=IncDSI(balance=0.5, new=6.0, old=0.0),
    )


def _training(epochs: int, patience: int, rate: float, warmup: int = 0) -> Training:
    optim = OptimConfig(
        learning_rate=rate,
        warmup_steps=warmup,
        weight_decay=0.01,
        decoupled=True,
        undecayed=("bias", "scale", "keys", "attention"),
        clip=1.0,
        batch_size=128,
    )
    return Training(optim, FitConfig(epochs=epochs, patience=patience, metric="f_beta"))


_STAGE = {"optim.batch_size": 64, "fit.epochs": 2, "fit.eval_every": 2}
_SMOKE = {
    "encoder.vocabulary": 256,
    "encoder.width": 8,
    "encoder.layers": 2,
    "encoder.heads": 2,
    "encoder.hidden": 8,
    "encoder.length": 12,
    "model.pool": 6,
    "model.length": 2,
    "model.top_k": 1,
    "model.two_pass": False,
    "model.query_layer": 1,
    "model.prompted": (1,),
    "incdsi.trials": 2,
    "fisher": 16,
    **{f"{stage}.{name}": x for stage in ("first", "later") for name, x in _STAGE.items()},
}


@dataclass(frozen=True)
class Search:
    """Flags of the `search` command."""

    query: tyro.conf.Positional[str]
    """Words to search for."""
    workdir: Path
    """Folder of a finished run, or of one of its seeds."""
    k: int = 10
    """Documents to show."""
    out: Path | None = None
    """File to write instead of the screen: .parquet or .jsonl."""


EXPERIMENT = Experiment(
    "prompt_dsi",
    title="PromptDSI (arXiv 2406.12593) beside IncDSI, EWC and replay",
    about="Index corpora that arrive one after the other.",
    data=DATA,
    preset=preset,
    named={"data": DATA[0], "method": "topic", "preset": "tuned", "encoder.folder": ""},
    smoke=_SMOKE,
    commands={
        "search": Command("documents for words, from a run's folder", Search),
        "tables": Command("write the tables of README.md from results/*.json"),
    },
)
