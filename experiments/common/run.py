"""A recommender of users and items: train, select on validation, test once."""

import dataclasses

from experiments.common.config import Run
from experiments.common.evaluation import ranker
from experiments.common.problem import (
    build_model,
    build_optimiser,
    build_source,
    load_data,
    shrink,
)
from experiments.common.seeds import Judge, Outcome, Parts, train_seeds
from mmjax.data.core.interactions import Interactions
from mmjax.objective import Variables


def run(config: Run, *, data: Interactions | None = None, test: bool = True) -> Outcome:
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
    if config.smoke:
        config = shrink(config)
    data = load_data(config) if data is None else data
    return train_seeds(config, _parts(config, data), test=test)


def _parts(config: Run, data: Interactions) -> Parts:
    model, source = build_model(config, data), build_source(config, data)

    def judge(split: str, ks: tuple[int, ...] = config.ks) -> Judge:
        rank = ranker(dataclasses.replace(config, ks=ks), data, split, model.retriever)

        def found(variables: Variables) -> dict[str, float]:
            return rank(variables).mean

        return found

    return Parts(
        data=data,
        mask=config.mask,
        objective=model.objective,
        source=source,
        optimiser=build_optimiser(config.optim, source.steps_per_epoch),
        watch=judge("valid", tuple(sorted({*config.ks, 20}))),
        judge=judge,
    )
