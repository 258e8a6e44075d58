"""Exact full ranking of a split, as a function of a retriever's variables."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from experiments.common.config import Run
from mmjax.data.core.interactions import Interactions
from mmjax.evaluation import ranking
from mmjax.objective import Variables
from mmjax.retriever import Retriever


class Scores(NamedTuple):
    """Metrics of one split: means, and the values per user behind them."""

    mean: dict[str, float]
    per_user: dict[str, jax.Array]


def ranker(
    run: Run, data: Interactions, split: str, retriever: Retriever
) -> Callable[[Variables], Scores]:
    """A function from the retriever's variables to the metrics of `split` under the run's mask."""
    task = ranking.ranking_task(
        data.pairs(split), data.seen(split, run.mask), data.n_users, data.n_items
    )

    def evaluate(variables: Variables) -> Scores:
        result = ranking.evaluate(retriever, variables, task, ks=run.ks)
        return Scores(ranking.summarise(result), result)

    return evaluate
