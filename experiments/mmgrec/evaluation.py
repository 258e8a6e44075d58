"""Full searches for the users of a split, as functions of a generator's variables.

Axes: u users, s items of a history.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from mmjax.blocks.sequences.histories import counts, histories, shuffled, some_items
from mmjax.data.core.interactions import Interactions
from mmjax.evaluation import ranking
from mmjax.models.generative.mmgrec.network import Generator, Inputs
from mmjax.models.generative.mmgrec.search import id_retriever, invalid_share
from mmjax.retriever import TopK, index_of


def user_histories(data: Interactions, length: int) -> Int[jax.Array, "u s"]:
    """Items of every user in training; of more than `length` a fixed random part, then -1."""
    known = histories(data.train, data.n_users, data.n_items)
    users = jnp.arange(data.n_users, dtype=jnp.int32)
    # The draw of `history_source` without redrawing, so that the released form sees its sources.
    order = shuffled(jax.random.key(0), known)
    return some_items(order, users, 0 * users, counts(known, users), length=length)


class Searches:
    """Searches for the users of some splits, each made once for the same variables.

    Results do not depend on the split: training items are left out, and no others. So validation
    and test are evaluated on one search.
    """

    def __init__(
        self,
        data: Interactions,
        splits: tuple[str, ...],
        model: Generator,
        inputs: Inputs,
        *,
        length: int,
    ) -> None:
        """Prepare the histories of the splits' users, of at most `length` items."""
        self.data, self.model, self.inputs = data, model, inputs
        self.users = np.unique(np.concatenate([data.pairs(s)[:, 0] for s in splits]))
        self.history = user_histories(data, length)
        self._variables: Any = None
        self._retrieved: dict[tuple[int, bool], TopK] = {}

    def retrieved(self, variables: Any, *, width: int, official: bool = False) -> TopK:
        """The items of each of `users`: as many as beams, best first.

        Args:
            variables: of the generator.
            width: beams.
            official: write freely and leave nothing out, as the released code does.
        """
        if variables is not self._variables:
            self._variables, self._retrieved = variables, {}
        if (width, official) not in self._retrieved:
            retriever = id_retriever(
                self.model, self.inputs, self.history, width=width, official=official
            )
            nothing = np.zeros((0, 2), np.int64)
            task = ranking.ranking_task(
                nothing,
                nothing if official else self.data.train,
                self.data.n_users,
                self.data.n_items,
                users=self.users,
                batch_size=retriever.chunk,
            )
            index = index_of(retriever, variables)
            self._retrieved[width, official] = ranking.rank(retriever, index, task, k=width)
        return self._retrieved[width, official]

    def scores(
        self,
        variables: Any,
        split: str,
        *,
        width: int,
        ks: tuple[int, ...],
        official: bool = False,
    ) -> dict[str, float]:
        """Metrics of a split's users, of every K up to `width`.

        An official search adds "invalid", the mean share of ids that no item has.
        """
        result = self.retrieved(variables, width=width, official=official)
        nothing = np.zeros((0, 2), np.int64)
        sizes = self.data.n_users, self.data.n_items
        task = ranking.ranking_task(self.data.pairs(split), nothing, *sizes)
        rows = np.searchsorted(self.users, np.asarray(task.users))
        ks = tuple(k for k in ks if k <= width)
        scores = ranking.summarise(ranking.ranking_metrics(task, result.ids[rows], ks=ks))
        kept = {n: x for n, x in scores.items() if n.partition("@")[0] in ("recall", "ndcg", "hr")}
        if not official:
            return kept
        return {**kept, "invalid": float(invalid_share(result)[rows].mean())}
