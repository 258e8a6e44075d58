"""Metrics of any retriever on the held-out pairs of a split, under one protocol.

Axes: e held-out pairs, e1 excluded pairs, u users.
"""

from dataclasses import dataclass, field

import numpy as np
from jax import Array
from jaxtyping import Integer

from mmjax.evaluation.ranking import RankingTask, evaluate, ranking_task, summarise
from mmjax.objective import Variables
from mmjax.retriever import Retriever

KS = (5, 10, 20, 50)
"""Cut-offs K where none are named."""


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Full ranking of all items for the users of a split; call it with a retriever and variables.

    Attributes:
        held_out: (user, item) pairs to be found.
        excluded: (user, item) pairs that are never recommended.
        n_users, n_items: ids run over ``0..n-1``.
        ks: cut-offs K.
        users: distinct users to rank; None ranks those with a held-out pair.
    """

    held_out: Integer[np.ndarray, "e 2"]
    excluded: Integer[np.ndarray, "e1 2"]
    n_users: int
    n_items: int
    ks: tuple[int, ...] = KS
    users: Integer[np.ndarray, "u"] | None = None
    _tasks: dict[int | None, RankingTask] = field(default_factory=dict, init=False, repr=False)

    def task(self, chunk: int | None = None) -> RankingTask:
        """The ranking task in steps of `chunk` users, made at its first use.

        Raises:
            ValueError: see `ranking_task`.
        """
        if chunk not in self._tasks:
            self._tasks[chunk] = ranking_task(
                self.held_out,
                self.excluded,
                self.n_users,
                self.n_items,
                users=self.users,
                batch_size=chunk,
            )
        return self._tasks[chunk]

    def per_user(self, retriever: Retriever, variables: Variables) -> dict[str, Array]:
        """The metrics of every user of the task; see `ranking.evaluate`."""
        return evaluate(retriever, variables, self.task(retriever.chunk), ks=self.ks)

    def __call__(self, retriever: Retriever, variables: Variables) -> dict[str, float]:
        """Means over the users: "recall@20" and the like, fractions in [0, 1]."""
        return summarise(self.per_user(retriever, variables))
