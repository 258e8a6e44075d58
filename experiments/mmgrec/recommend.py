"""Top-K recommendations with names from the folder of a trained MMGRec."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.common.recommend import Recommend, choose_users, result_rows

if TYPE_CHECKING:
    from experiments.mmgrec.run import Trained
    from mmjax.data.core.interactions import Interactions


def seed_folder(flags: Recommend) -> Any:
    """The folder of one seed: the workdir itself, or its first ``seed_...``."""
    from experiments.mmgrec.run import SIDS

    if (flags.workdir / SIDS).exists():
        return flags.workdir
    return next(iter(sorted(flags.workdir.glob("seed_*"))), flags.workdir)


def recommend(flags: Recommend) -> list[dict[str, Any]]:
    """One row per recommended item: user, rank, item, title, score (a log-probability).

    Raises:
        CheckpointError: no checkpoint in the workdir.
        LookupError: no such user.
        ValueError: k is below 1, the data are not those of the run, or the output has an unknown
            ending.
    """
    from experiments.common.config import Run
    from experiments.common.problem import load_data
    from experiments.mmgrec.run import load_trained
    from mmjax.models.generative.mmgrec.config import GraphConfig

    if flags.k < 1:
        raise ValueError(f"k = {flags.k}; it must be 1 or more")
    if flags.out is not None and flags.out.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"--out {flags.out}: choose a name that ends in .parquet or .jsonl")
    trained = load_trained(seed_folder(flags))
    run = Run(
        GraphConfig(),
        data=trained.settings["data"],
        smoke=trained.settings["smoke"],
        data_dir=flags.data_dir,
        manual_dir=flags.manual_dir,
    )
    data = load_data(run)
    if data.digest != trained.settings["digest"]:
        raise ValueError(
            f"{data.name} has changed since {flags.workdir} was trained: its ids would name other "
            "items; train again"
        )
    users = np.arange(data.n_users) if flags.all_users else choose_users(flags.users, data)
    ids, scores = found(trained, data, users, k=flags.k, include_seen=flags.include_seen)
    return result_rows(data, users, ids, scores)


def found(
    trained: "Trained", data: "Interactions", users: np.ndarray, *, k: int, include_seen: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Items and scores of these users, by a constrained search of 50 beams or more."""
    from experiments.mmgrec.evaluation import user_histories
    from mmjax.evaluation import ranking
    from mmjax.models.generative.mmgrec.search import id_retriever
    from mmjax.retriever import index_of

    history = user_histories(data, trained.settings["generator"]["optim"]["length"])
    retriever = id_retriever(trained.model, trained.inputs, history, width=max(50, k))
    nothing, unique = np.zeros((0, 2), np.int64), np.unique(users)
    task = ranking.ranking_task(
        nothing,
        nothing if include_seen else data.train,
        data.n_users,
        data.n_items,
        users=unique,
        batch_size=retriever.chunk,
    )
    result = ranking.rank(retriever, index_of(retriever, {"params": trained.params}), task, k=k)
    rows = np.searchsorted(unique, users)
    return np.asarray(result.ids)[rows], np.asarray(result.scores)[rows]
