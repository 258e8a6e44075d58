"""Exact full ranking of a split, as a function of an objective's variables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.common.config import Run
from mmjax.blocks.ranking import full_ranking
from mmjax.data.core.interactions import Interactions
from mmjax.objective import Objective

EVAL_SEED = 20_240
"""Seed of what a model draws at evaluation, the same at every evaluation of every run."""

_predict = jax.jit(lambda objective, params, state, key: objective.predict(params, state, key))


class Scores(NamedTuple):
    """Metrics of one split: means, and the values per user behind them."""

    mean: dict[str, float]
    per_user: dict[str, jax.Array]


def predict(objective: Objective, variables: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
    """User and item vectors of trained `variables`, with the fixed evaluation key."""
    state = {name: x for name, x in variables.items() if name != "params"}
    return _predict(objective, variables["params"], state, jax.random.key(EVAL_SEED))


def ranker(
    run: Run, data: Interactions, split: str, score: full_ranking.Score | None = None
) -> Callable[[tuple[jax.Array, jax.Array]], Scores]:
    """A function from user and item vectors to the metrics of `split` under the run's rule.

    `score` is that of the objective: how the vectors are compared.
    """
    task = full_ranking.ranking_task(
        data.pairs(split), data.excluded(split, run.exclude), data.n_users, data.n_items
    )

    def evaluate(vectors: tuple[jax.Array, jax.Array]) -> Scores:
        result = full_ranking.evaluate(task, *vectors, ks=run.ks, score=score)
        return Scores(full_ranking.summarise(result), result)

    return evaluate
