"""Full searches for the users of a split, as functions of a generator's parameters.

Axes: u users, s steps, b users of a step, h items of a history, m items left out, k items found.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int, Integer

from mmjax.blocks.decoding.tries import Trie
from mmjax.blocks.ranking import full_ranking
from mmjax.blocks.sequences.histories import counts, histories, shuffled, some_items
from mmjax.data.core.interactions import Interactions
from mmjax.models.generative.mmgrec.objective import Generator, Inputs
from mmjax.models.generative.mmgrec.search import Found, recommend, write_freely

_BATCH = 64


class Queries(NamedTuple):
    """Users with what they have met in training, by step; the last step repeats users."""

    user: Int[Array, "s b"]
    history: Int[Array, "s b h"]
    seen: Int[Array, "s b m"]


def queries(
    data: Interactions, users: Integer[np.ndarray, "u"], length: int, *, batch: int = _BATCH
) -> Queries:
    """The users in steps of `batch`; of a history longer than `length` a fixed random part."""
    known = histories(data.train, data.n_users, data.n_items)
    batch = min(batch, len(users))
    rows = jnp.asarray(np.resize(users, -(-len(users) // batch) * batch), jnp.int32)
    held = counts(known, rows)
    longest = max(1, int(held.max()))
    # The draw of `subset_source` without redrawing, so that the released form sees its sources.
    order = shuffled(jax.random.key(0), known)
    history = some_items(order, rows, 0 * rows, held, length=length)
    seen = some_items(known, rows, 0 * rows, held, length=longest)
    return Queries(*(x.reshape(-1, batch, *x.shape[1:]) for x in (rows, history, seen)))


@partial(jax.jit, static_argnames=("model", "width", "k", "free", "keep_seen"))
def search(
    model: Generator,
    params: Any,
    inputs: Inputs,
    trie: Trie,
    asked: Queries,
    *,
    width: int,
    k: int,
    free: bool = False,
    keep_seen: bool = False,
) -> Found:
    """What is found for all users, a row each, repeated ones at the end.

    Args:
        model, params, inputs, trie: see `mmgrec_search.recommend`.
        asked: from `queries`.
        width: beams.
        k: items for each user.
        free: write freely and leave nothing out, as the released code does.
        keep_seen: leave nothing out of the constrained search.
    """

    def step(asked: Queries) -> Found:
        given = (model, params, inputs, trie, asked.user, asked.history)
        if free:
            return write_freely(*given, width=width)
        return recommend(*given, None if keep_seen else asked.seen, width=width, k=k)

    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), lax.map(step, asked))


class Searches:
    """Searches for the users of some splits, each made once for the same parameters.

    What is found does not depend on the split: training items are left out, and no others. So
    validation and test are judged on one search.
    """

    def __init__(
        self,
        data: Interactions,
        splits: tuple[str, ...],
        model: Generator,
        inputs: Inputs,
        trie: Trie,
        *,
        length: int,
    ) -> None:
        """Prepare the histories of the splits' users, of at most `length` items."""
        self.data, self.given = data, (model, inputs, trie)
        self.users = np.unique(np.concatenate([data.pairs(s)[:, 0] for s in splits]))
        self.asked = queries(data, self.users, length)
        self._params: Any = None
        self._found: dict[tuple[int, bool], Found] = {}

    def found(self, params: Any, *, width: int, free: bool = False) -> Found:
        """The items of each of `users`: as many as beams, best first.

        Args:
            params: of the generator.
            width: beams.
            free: write freely and leave nothing out, as the released code does.
        """
        if params is not self._params:
            self._params, self._found = params, {}
        if (width, free) not in self._found:
            model, inputs, trie = self.given
            result = search(
                model, params, inputs, trie, self.asked, width=width, k=width, free=free
            )
            rows = len(self.users)
            self._found[width, free] = jax.tree.map(lambda x: x[:rows], result)
        return self._found[width, free]

    def scores(
        self,
        variables: Any,
        split: str,
        *,
        width: int,
        ks: tuple[int, ...],
        free: bool = False,
    ) -> dict[str, float]:
        """Metrics of a split's users, of every K up to `width`.

        A free search adds "invalid", the mean share of ids that no item has.
        """
        result = self.found(variables["params"], width=width, free=free)
        nothing = np.zeros((0, 2), np.int64)
        sizes = self.data.n_users, self.data.n_items
        task = full_ranking.ranking_task(self.data.pairs(split), nothing, *sizes)
        rows = np.searchsorted(self.users, np.asarray(task.users))
        ks = tuple(k for k in ks if k <= width)
        scores = full_ranking.summarise(full_ranking.judge(task, result.items[rows], ks=ks))
        kept = {n: x for n, x in scores.items() if n.partition("@")[0] in ("recall", "ndcg", "hr")}
        return {**kept, "invalid": float(result.invalid[rows].mean())} if free else kept
