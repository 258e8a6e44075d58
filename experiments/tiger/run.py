"""TIGER beside SASRec: semantic ids, then a model that writes them; train, recommend, tables."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.common import readme, sequences
from experiments.common.config import SequenceRun
from experiments.common.recommend import Recommend
from experiments.tiger import analysis
from experiments.tiger.analysis import features
from experiments.tiger.config import preset
from mmjax import semantic_ids as sids
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.errors import UserError
from mmjax.models.generative import rq_vae, tiger
from mmjax.models.generative.rq_vae.config import TIGER
from mmjax.models.generative.tiger.config import SidConfig
from mmjax.retriever import Model
from mmjax.semantic_ids.table import arrays_sha256
from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.optim import optimiser
from mmjax.training.pipeline import Pipeline
from mmjax.training.sources.pairs import BatchSource, rows_source
from mmjax.training.sources.sequences import windows_source

__all__ = ["features", "recommend", "tables", "train"]

FILE = "ids.npz"
"""In a run's folder: the ids of the items, without which a trained generator means nothing."""


@dataclass(frozen=True)
class TIGERMethod:
    """TIGER on a data set whose items have their ids."""

    run: SequenceRun
    data: Sequences
    table: sids.SidTable

    def build(self, windows: Windows) -> Model:
        """TIGER on the ids, searching after each of the windows."""
        task = sequences.task_of(self.data, windows)
        return tiger.build(self.run.model, task, self.table.codes, self.table.sizes)

    def source(self) -> BatchSource:
        """Every prefix of every training sequence with the item behind it."""
        return windows_source(
            self.data.items,
            self.data.prefixes(),
            self.run.model.history,
            self.run.optim.batch_size,
            bucket_by_length=bool(self.run.model.length_buckets),
        )

    def watched(self) -> np.ndarray | None:
        """The users whose validation item selects the epoch."""
        users = self.data.windows("valid").user
        n = self.run.model.validation_users
        if not n or n >= len(users):
            return None
        return users[np.linspace(0, len(users) - 1, n).astype(int)]


def with_ids(run: SequenceRun, data: Sequences) -> TIGERMethod:
    """TIGER with the ids of its items, made at the first call and read from the workdir later.

    Raises:
        UserError: the data lack the feature, the ids have collapsed, or those in the folder are
            of other features.
        Interrupted: a signal stopped the autoencoder; the same command resumes.
    """
    table = item_ids(run.model.ids, data, run.workdir)
    print(sids.report(table, categories(data)), flush=True)
    return TIGERMethod(run, data, table)


def trained_ids(run: SequenceRun, data: Sequences) -> TIGERMethod:
    """TIGER with the ids that lie in a run's folder, or above that of one of its seeds.

    Raises:
        UserError: there are none.
    """
    folder = run.workdir or Path()
    for place in (folder, folder.parent):
        if (place / FILE).exists():
            return TIGERMethod(run, data, item_ids(run.model.ids, data, place))
    raise UserError(f"{folder} has no {FILE}: without the ids a trained model means nothing")


def train(run: SequenceRun) -> None:
    """Train the method of `run` and its baselines, print the table, write records and report."""
    sequences.train(run, preset, {"tiger": with_ids})


def recommend(flags: Recommend) -> str:
    """Top-K of what comes next for users of a run's folder.

    Raises:
        UserError: k above the number of beams, no ids, and as `sequences.recommend`.
    """

    def make(run: SequenceRun, data: Sequences) -> TIGERMethod:
        if flags.k > run.model.beams:
            raise UserError(
                f"--k {flags.k}: the search finds {run.model.beams} items (model.beams)"
            )
        return trained_ids(run, data)

    return sequences.recommend(flags, {"tiger": make})


def tables() -> Path:
    """Fill README.md."""
    return readme.fill(analysis.FOLDER, analysis.bodies())


def item_ids(config: SidConfig, data: Sequences, folder: Path | None = None) -> sids.SidTable:
    """The ids that `config` describes; read from `folder` if they were made there before.

    Raises:
        ValueError: the data lack the feature.
        SidCollapse: the codes have collapsed.
        Interrupted: a signal stopped the autoencoder; the same command resumes.
    """
    path = None if folder is None else folder / FILE
    if path is not None and path.exists():
        return sids.SidTable.load(path, features=_features_hash(config, data))
    table = _made(config, data, folder)
    sids.check(table, max_collisions=config.max_collisions)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.save(path)
    return table


def categories(data: Sequences) -> list[str] | None:
    """The most special category of each item, which codes should keep together."""
    if data.item_tags is None:
        return None
    return [tags.rpartition(",")[2] for tags in data.item_tags]


def _made(config: SidConfig, data: Sequences, folder: Path | None) -> sids.SidTable:
    raw = np.arange(data.n_items) if data.item_ids is None else data.item_ids
    if config.quantiser == "random":
        draw = np.random.default_rng(config.seed)
        codes = np.stack([draw.integers(0, size, data.n_items) for size in config.sizes], 1)
        return sids.assign(codes, config.sizes, policy=config.policy, item_ids=raw)
    x = _features(config, data)
    if config.quantiser == "residual_kmeans":
        return sids.fit_sids(
            x,
            sizes=config.sizes,
            policy=config.policy,
            item_ids=raw,
            normalise=config.normalise,
            seed=config.seed,
        )
    codes = _autoencoder_codes(config, x, folder)
    digest = arrays_sha256(x)
    return sids.assign(codes, config.sizes, policy=config.policy, item_ids=raw, features=digest)


def _autoencoder_codes(config: SidConfig, x: np.ndarray, folder: Path | None) -> np.ndarray:
    normalise = "unit" if config.normalise else "none"
    model = dataclasses.replace(TIGER, sizes=config.sizes, normalise=normalise)
    batch_size = min(config.batch_size, len(x))
    optim = OptimConfig(learning_rate=config.learning_rate, batch_size=batch_size)
    source = rows_source(len(x), batch_size)
    result = Pipeline(folder, seed=config.seed).train(
        "rq_vae",
        rq_vae.build(model, x),
        source,
        optimiser(optim, source.steps_per_epoch),
        settings={"ids": config},
        inputs={"features": x},
        config=FitConfig(epochs=config.epochs, tensorboard=False),
    )
    return np.asarray(rq_vae.encode(model, result.variables[0], x))


def _features(config: SidConfig, data: Sequences) -> np.ndarray:
    if config.feature not in data.features:
        raise UserError(
            f"{data.name} has no item feature {config.feature!r}, only {[*data.features]}; choose "
            "--model.ids.feature, or --model.ids.quantiser random"
        )
    return np.asarray(data.features[config.feature], np.float32)


def _features_hash(config: SidConfig, data: Sequences) -> str:
    return "" if config.quantiser == "random" else arrays_sha256(_features(config, data))
