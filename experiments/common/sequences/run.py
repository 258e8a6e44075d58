"""A model of sequences that compares vectors: train, select on validation, test once, recommend.

A method of several stages has a module of its own with the two functions `run` and `top`, which
`experiments.common.methods.SEQUENCE_METHODS` names.
"""

from collections.abc import Callable

import numpy as np

from experiments.common.methods import SEQUENCE_METHODS
from experiments.common.problem import build_optimiser
from experiments.common.seeds import Judge, Outcome, Parts, train_seeds
from experiments.common.sequences.config import SequenceRun
from experiments.common.sequences.problem import (
    build_source,
    build_task,
    load_data,
    ranking_task,
    shrink,
)
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.evaluation import ranking
from mmjax.objective import Variables
from mmjax.retriever import Model, index_of
from mmjax.training.sources.pairs import Source

Build = Callable[[Windows], Model]
"""From histories to the model that recommends after them."""


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

    def build(windows: Windows) -> Model:
        return build_model(config, data, windows)

    parts = training_parts(config, data, build, build_source(config, data))
    return train_seeds(config, parts, test=test)


def training_parts(
    config: SequenceRun,
    data: Sequences,
    build: Build,
    source: Source,
    *,
    users: np.ndarray | None = None,
) -> Parts:
    """The parts of a training, with evaluation by the model's retriever.

    Args:
        config: what to run, of a smoke run its small form.
        data: the data set.
        build: gives the model.
        source: of batches.
        users: those whose validation item selects the epoch; None is all.
    """

    def judge(split: str, users: np.ndarray | None = None) -> Judge:
        retriever = build(data.histories(split)).retriever
        task = ranking_task(config, data, split, users=users, batch_size=retriever.chunk)

        def evaluate(variables: Variables) -> dict[str, float]:
            return ranking.summarise(ranking.evaluate(retriever, variables, task, ks=config.ks))

        return evaluate

    return Parts(
        data=data,
        mask=config.mask,
        objective=build(data.histories("valid")).objective,
        source=source,
        optimiser=build_optimiser(config.optim, source.steps_per_epoch),
        watch=judge("valid", users),
        judge=judge,
    )


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
    return best_items(build_model(config, data, windows), data, variables, windows, k=k, new=new)


def best_items(
    model: Model,
    data: Sequences,
    variables: Variables,
    windows: Windows,
    *,
    k: int,
    new: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best items after each window and their scores, by a model built for these windows."""
    n, nothing = len(windows.user), np.zeros((0, 2), np.int32)
    task = ranking.ranking_task(
        nothing,
        data.pairs(windows) if new else nothing,
        n,
        data.n_items,
        users=np.arange(n),
        batch_size=model.retriever.chunk,
    )
    found = ranking.rank(model.retriever, index_of(model.retriever, variables), task, k=k)
    return np.asarray(found.ids), np.asarray(found.scores)


def build_model(config: SequenceRun, data: Sequences, windows: Windows) -> Model:
    """The method of `config`, retrieving what comes after each of the windows."""
    method = SEQUENCE_METHODS[config.method]
    return method.builder()(config.model, build_task(data, windows))
