"""A model of sequences that compares vectors: train, select on validation, test once, recommend.

A method of another kind has a module of its own with the two functions `run` and `top`, which
`experiments.common.methods.SEQUENCE_METHODS` names.
"""

import numpy as np

from experiments.common.evaluation import predict
from experiments.common.methods import SEQUENCE_METHODS
from experiments.common.problem import build_optimiser
from experiments.common.sequences.config import SequenceRun
from experiments.common.sequences.problem import (
    build_source,
    build_task,
    load_data,
    ranking_task,
    shrink,
)
from mmjax.blocks.ranking import full_ranking
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.objective import Objective, Variables
from mmjax.training.seeds import Judge, Outcome, Parts, train_seeds


def run(config: SequenceRun, *, data: Sequences | None = None, test: bool = True) -> Outcome:
    """Train every seed of `config`, keep its best epoch on validation, then score test once.

    Args:
        config: what to run. With a workdir the run is saved there and resumed from there.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone (selection among configurations).

    Raises:
        DataError: the data are missing or broken.
        ValueError: the configuration does not fit the data or the workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; nothing is evaluated.
    """
    data = load_data(config) if data is None else data
    if config.smoke:
        config = shrink(config)
    source = build_source(config, data)

    def judge(split: str) -> Judge:
        objective = build_objective(config, data, data.histories(split))
        task = ranking_task(config, data, split)

        def found(variables: Variables) -> dict[str, float]:
            vectors = predict(objective, variables)
            return full_ranking.summarise(full_ranking.evaluate(task, *vectors, ks=config.ks))

        return found

    parts = Parts(
        data=data,
        mask=config.mask,
        objective=build_objective(config, data, data.histories("valid")),
        source=source,
        optimiser=build_optimiser(config.optim, source.steps_per_epoch),
        watch=judge("valid"),
        judge=judge,
    )
    return train_seeds(config, parts, test=test)


def top(
    config: SequenceRun,
    data: Sequences,
    variables: Variables,
    windows: Windows,
    *,
    k: int,
    new: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best items after each window and their scores, best first.

    Args:
        config: what was run, of a smoke run its small form.
        data: the data set.
        variables: trained.
        windows: histories in `data`.
        k: items per window; where fewer are left, the rest is id -1.
        new: leave the items of a history out.
    """
    users, items = predict(build_objective(config, data, windows), variables)
    ids, scores = full_ranking.top_items(users, items, data.pairs(windows) if new else None, k=k)
    return np.asarray(ids), np.asarray(scores)


def build_objective(config: SequenceRun, data: Sequences, windows: Windows) -> Objective:
    """The method of `config`; its `predict` gives a vector for each of the windows."""
    method = SEQUENCE_METHODS[config.method]
    return method.builder()(config.model, build_task(data, windows))
