"""The semantic ids of a run on items with features: made once, kept beside the run, reported."""

import dataclasses
from pathlib import Path

import numpy as np
import optax

from mmjax import semantic_ids as sids
from mmjax.data.core.sequences import Sequences
from mmjax.models.generative import rq_vae
from mmjax.models.generative.rq_vae.config import TIGER
from mmjax.models.generative.tiger.config import SidConfig
from mmjax.semantic_ids.table import arrays_sha256
from mmjax.training.config import FitConfig
from mmjax.training.fitting import fit
from mmjax.training.sources.pairs import rows_source

FILE = "ids.npz"


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
    return _by_autoencoder(config, x, raw, folder)


def _by_autoencoder(
    config: SidConfig, x: np.ndarray, raw: np.ndarray, folder: Path | None
) -> sids.SidTable:
    normalise = "unit" if config.normalise else "none"
    model = dataclasses.replace(TIGER, sizes=config.sizes, normalise=normalise)
    objective = rq_vae.build(model, x)
    length = FitConfig(epochs=config.epochs, tensorboard=False)
    result = fit(
        objective,
        rows_source(len(x), min(config.batch_size, len(x))),
        optax.adam(config.learning_rate),
        None,
        length,
        seeds=(config.seed,),
        workdir=folder and folder / "rq_vae",
        run_config={"ids": dataclasses.asdict(config), "features": arrays_sha256(x)},
    )
    if result.stopped_because == "signal":
        from mmjax.training.signals import Interrupted

        raise Interrupted("stopped by a signal; the same command resumes")
    codes = np.asarray(rq_vae.encode(model, result.variables[0], x))
    return sids.assign(
        codes, config.sizes, policy=config.policy, item_ids=raw, features=arrays_sha256(x)
    )


def _features(config: SidConfig, data: Sequences) -> np.ndarray:
    if config.feature not in data.features:
        raise ValueError(
            f"{data.name} has no item feature {config.feature!r}, only {[*data.features]}; choose "
            "--model.ids.feature, or --model.ids.quantiser random"
        )
    return np.asarray(data.features[config.feature], np.float32)


def _features_hash(config: SidConfig, data: Sequences) -> str:
    return "" if config.quantiser == "random" else arrays_sha256(_features(config, data))
