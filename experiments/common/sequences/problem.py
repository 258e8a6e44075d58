"""From flags to the parts of a run on sequences: data, task, source of batches, rankings."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common.results import Record, untrained
from experiments.common.sequences.config import SequenceRun
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.data.formats.ratings import load_sequences_csv
from mmjax.data.load import load_sequences
from mmjax.data.synthetic.interactions import chains
from mmjax.evaluation import ranking
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.retriever import Vectors, given_vectors
from mmjax.training.sources.pairs import Source
from mmjax.training.sources.sequences import packed_source

_SMOKE: dict[str, Any] = {"width": 16, "hidden": 16, "layers": 1, "heads": 1}


def load_data(run: SequenceRun) -> Sequences:
    """The data set of `run`; of a smoke run the synthetic chains.

    Raises:
        DataError: a file is missing or broken; the message says which and what to do.
    """
    if run.smoke or run.data == "chains":
        return chains()
    if Path(run.data).suffix in (".csv", ".gz"):
        return load_sequences_csv(run.data)
    return load_sequences(run.data, data_dir=run.data_dir)


def shrink(run: SequenceRun) -> SequenceRun:
    """The smoke form of `run`: a tiny model for four epochs."""
    sizes = {k: v for k, v in _SMOKE.items() if hasattr(run.model, k)}
    return dataclasses.replace(
        run,
        model=dataclasses.replace(run.model, **sizes),
        optim=dataclasses.replace(run.optim, batch_size=64, learning_rate=1e-2),
        fit=dataclasses.replace(run.fit, epochs=4, eval_every=2),
    )


def build_task(data: Sequences, windows: Windows) -> SequenceTask:
    """What a model is built from that recommends after some histories; window n is its user n."""
    return SequenceTask(
        data.items,
        windows.start,
        windows.stop,
        data.n_items,
        data.features,
        {name: a.labels for name, a in data.attributes.items()},
        windows.user,
    )


def build_source(run: SequenceRun, data: Sequences) -> Source:
    """Packed train sequences, with negatives where the method's loss samples."""
    n = getattr(run.model, "n_negatives", 0)
    unseen = negative_index(data.train_pairs(), data.n_users, data.n_items) if n else None
    return packed_source(
        data.items,
        data.windows("train"),
        run.model.length,
        run.optim.batch_size,
        n_negatives=n,
        unseen=unseen,
    )


def ranking_task(
    run: SequenceRun,
    data: Sequences,
    split: str,
    *,
    users: np.ndarray | None = None,
    batch_size: int | None = None,
) -> ranking.RankingTask:
    """Users of `split` with their one target, among all items or those that are new to them.

    `users` and `batch_size` as for `mmjax.evaluation.ranking.ranking_task`.
    """
    seen = data.seen(split) if run.filter_seen else np.zeros((0, 2), np.int32)
    return ranking.ranking_task(
        data.held_out(split),
        seen,
        data.n_users,
        data.n_items,
        users=users,
        batch_size=batch_size,
    )


def by_popularity(run: SequenceRun, data: Sequences) -> Record:
    """The record of ranking by how often items occur in training."""
    count = np.bincount(data.train_pairs()[:, 1], minlength=data.n_items)
    vectors = Vectors(jnp.ones((data.n_users, 1)), jnp.asarray(count[:, None], jnp.float32))
    retriever = given_vectors(data.n_items)
    figures = {
        split: ranking.summarise(
            ranking.evaluate(retriever, vectors, ranking_task(run, data, split), ks=run.ks)
        )
        for split in ("valid", "test")
    }
    return untrained("popularity", data, run.mask, figures)
