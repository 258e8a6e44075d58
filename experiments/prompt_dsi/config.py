"""The flags of the PromptDSI experiment.  Imports no JAX."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.common.config import Identified
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.training.config import EXECUTION, FitConfig

_HOW = {EXECUTION: True}
Method = Literal[
    "topic", "l2p", "s++", "coda", "classifier", "incdsi", "finetune", "ewc", "replay", "joint"
]
PROMPTED = ("topic", "l2p", "s++", "coda")


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
    """AdamW for one stage, and how long."""

    fit: FitConfig
    """Length and selection by validation MRR@10, of old and new documents together."""
    learning_rate: float = 1e-3
    """Step size, constant behind the warm-up."""
    warmup: int = 0
    """Steps over which it rises from 0."""
    weight_decay: float = 0.01
    """Decoupled decay of matrices; never of biases, norms and keys."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    batch_size: int = 128
    """Queries a step."""


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


@dataclass(frozen=True)
class PromptDSI(Identified):
    """One method on one sequence of corpora."""

    model: PromptDSIConfig
    """Prompts and classifier."""
    encoder: Encoder
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
    least: int = 10
    """Queries of the smallest topic that HDBSCAN may find."""
    incdsi: IncDSI = field(default_factory=IncDSI)
    """Settings of the method incdsi."""
    replay: int = 2
    """Training queries of each earlier document that the method replay keeps."""
    fisher: int = 512
    """Queries from which the method ewc estimates what mattered."""
    data: str = "topic_documents"
    """topic_documents (synthetic), xquad, nq_qed, squad_sentences, amazon_beauty, amazon_toys."""
    arrival: Literal["topic", "time"] = "topic"
    """Whether sessions keep topics whole, or follow the order of the data."""
    sessions: int = 5
    """Corpora after the first one."""
    beta: float = 1.0
    """Weight of old documents against new ones in the selection (`evaluation.continual.f_beta`)."""
    smoke: bool = False
    """A quick check of the whole path with tiny sizes; its figures mean nothing."""
    preset: Literal["tuned"] = field(default="tuned", metadata=_HOW)
    """Where the defaults come from."""
    seed: int = field(default=0, metadata=_HOW)
    """First seed; of the sessions too."""
    seeds: int = field(default=1, metadata=_HOW)
    """Number of seeds, counted up from the first."""
    workdir: Path | None = field(default=None, metadata=_HOW)
    """Folder of the run: a folder a seed, in it one a stage. The same command on it resumes."""
    base: Path | None = field(default=None, metadata=_HOW)
    """Folder of the first stage, for methods that are to share it; default is in `workdir`."""
    data_dir: Path | None = field(default=None, metadata=_HOW)
    """Where prepared data are cached."""
    manual_dir: Path | None = field(default=None, metadata=_HOW)
    """Where corpora that are not shipped were put by hand."""

    def first_identity(self) -> dict[str, Any]:
        """What decides the result of the first stage, whatever the method."""
        plain = self.identity()
        names = ("encoder", "first", "data", "arrival", "sessions", "smoke")
        model = ("pooling", "normalise", "dropout", "encoder_dropout")
        return {n: plain[n] for n in names} | {n: plain["model"][n] for n in model}


def shrink(config: PromptDSI) -> PromptDSI:
    """The smoke form: a tiny encoder, few queries, two epochs."""

    def short(stage: Training) -> Training:
        fit = dataclasses.replace(stage.fit, epochs=2, eval_every=2)
        return dataclasses.replace(stage, fit=fit, batch_size=64)

    encoder = dataclasses.replace(
        config.encoder, vocabulary=256, width=8, layers=2, heads=2, hidden=8, length=12
    )
    model = dataclasses.replace(
        config.model, pool=6, length=2, top_k=1, prompted=(1,), query_layer=1, two_pass=False
    )
    return dataclasses.replace(
        config,
        encoder=encoder,
        model=model,
        incdsi=dataclasses.replace(config.incdsi, trials=2),
        first=short(config.first),
        later=short(config.later),
        fisher=16,
    )
