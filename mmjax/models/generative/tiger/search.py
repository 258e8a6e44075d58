"""TIGER, inference: the items whose ids a beam search writes after a history.

Axes: b users, n items of a history, l levels of an id, i items, u users of a task, m items left
out, k items found.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Integer

from mmjax.blocks.decoding.beams import beam_items, beam_search, score_codes
from mmjax.blocks.decoding.trie_subsets import block
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.layers.decoding import decode_step
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.generative.tiger.network import TIGER
from mmjax.objective import Params, Variables
from mmjax.retriever import Exclusion, Retriever, TopK

CHUNK = 64
"""Histories that are decoded at a time."""


class ItemIds(NamedTuple):
    """The ids of all items, and the trie of those that may be written."""

    codes: Integer[Array, "i l"]
    trie: Trie


class _Inputs(NamedTuple):
    ids: ItemIds
    history: Int[Array, "u n"]
    user: Int[Array, "u"]


def recommend(
    model: TIGER,
    params: Params,
    ids: ItemIds,
    history: Int[Array, "b n"],
    user: Int[Array, "b"],
    excluded: Int[Array, "b m"] | None = None,
    *,
    k: int,
) -> TopK:
    """The likeliest next items, by beam search over the ids of the trie.

    Args:
        model: the network.
        params: its parameters.
        ids: of all items, and the trie of all or a part of them.
        history: items, oldest first; -1 at places that hold none.
        user: whose they are.
        excluded: items that are left out, such as the whole history; -1 is none.
        k: items found; no more than there are beams are found for sure.
    """
    codes, trie = ids
    step, cache = decode_step(model, params, codes, history, user)
    subset = None if excluded is None else block(trie, excluded)
    width = model.config.beams
    beams = beam_search(step, cache, trie, batch=len(user), width=width, subset=subset)
    return TopK(*beam_items(beams, trie, k=k, subset=subset))


def score_items(
    model: TIGER,
    params: Params,
    codes: Integer[Array, "i l"],
    history: Int[Array, "b n"],
    user: Int[Array, "b"],
    items: Int[Array, "b k"],
) -> Float[Array, "b k"]:
    """Log-probability of the ids of given candidates, such as those of another recommender."""
    step, cache = decode_step(model, params, codes, history, user)
    return score_codes(step, cache, codes[items])


def id_retriever(model: TIGER, task: SequenceTask, codes: Integer[np.ndarray, "i l"]) -> Retriever:
    """The items that come after the histories of a task, `CHUNK` users at a time.

    Raises:
        ValueError: a code is out of range.
    """
    users = np.arange(task.n_users) if task.users is None else task.users
    inputs = _Inputs(
        ItemIds(jnp.asarray(codes, jnp.int32), build_trie(codes, model.sizes)),
        jnp.asarray(task.latest(model.config.history), jnp.int32),
        jnp.asarray(users, jnp.int32),
    )
    return Retriever.bind(
        model,
        inputs,
        index=_index,
        retrieve=_retrieve,
        n_candidates=task.n_items,
        chunk=CHUNK,
    )


def _index(model: TIGER, inputs: _Inputs, variables: Variables, key: Array) -> Params:
    return variables["params"]


def _retrieve(
    model: TIGER,
    inputs: _Inputs,
    params: Params,
    queries: Int[Array, "b"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    # A search that leaves nothing out is cheaper.
    excluded = exclude.table(len(queries)) if exclude is not None and exclude.most else None
    history, user = inputs.history[queries], inputs.user[queries]
    return recommend(model, params, inputs.ids, history, user, excluded, k=k)
