"""MMGRec, inference: the items whose ids a trained generator writes.

Axes: b rows, s items of a history, m items left out, i items, u users, l levels, k items found,
n candidates.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.decoding.beams import (
    Step,
    beam_items,
    beam_search,
    free_beam_search,
    score_codes,
)
from mmjax.blocks.decoding.trie_subsets import block
from mmjax.blocks.decoding.trie_walk import leaf_members
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.models.generative.mmgrec.network import Generator, Inputs, encoder_inputs
from mmjax.objective import Params, Variables
from mmjax.retriever import Exclusion, Retriever, TopK

CHUNK = 64
"""Users that are answered at a time."""


class Readers(NamedTuple):
    """Users with their histories."""

    user: Int[Array, "b"]
    history: Int[Array, "b s"]
    """Items in any order; -1 is padding."""


def id_trie(model: Generator, codes: Int[Array, "i l"] | Int[np.ndarray, "i l"]) -> Trie:
    """The trie of the items' ids, as the model numbers their tokens."""
    vocabulary = model.vocabulary
    return build_trie(vocabulary.trie_codes(np.asarray(codes)), vocabulary.trie_sizes)


@partial(jax.jit, static_argnames=("model", "width", "k"))
def recommend(
    model: Generator,
    params: Params,
    inputs: Inputs,
    trie: Trie,
    readers: Readers,
    excluded: Int[Array, "b m"] | None = None,
    *,
    width: int,
    k: int,
) -> TopK:
    """The best items by constrained beam search; every id is that of an item.

    Args:
        model: from `mmgrec.generator`.
        params: trained.
        inputs: frozen vectors and ids.
        trie: from `id_trie`.
        readers: users with their histories.
        excluded: items that are left out, exactly, such as those of training; -1 is padding.
        width: beams, k or more.
        k: items found; scores are log-probabilities of their ids.

    Raises:
        ValueError: fewer beams than items are asked for.
    """
    if width < k:
        raise ValueError(f"width {width} is below k {k}: a beam finds one item")
    step, cache = _started(model, params, inputs, readers)
    subset = None if excluded is None else block(trie, excluded)
    batch = readers.user.shape[0]
    beams = beam_search(step, cache, trie, batch=batch, width=width, subset=subset)
    return TopK(*beam_items(beams, trie, k=k, subset=subset))


@partial(jax.jit, static_argnames=("model", "width"))
def write_freely(
    model: Generator, params: Params, inputs: Inputs, trie: Trie, readers: Readers, *, width: int
) -> TopK:
    """The best ids among all that there could be, as the released code does: k is the width.

    An id of no item keeps its rank and its finite score, with item -1; nothing is left out.
    """
    step, cache = _started(model, params, inputs, readers)
    batch, special = readers.user.shape[0], model.vocabulary.special
    beams = free_beam_search(step, cache, trie, batch=batch, width=width, drop=special)
    return TopK(leaf_members(trie, beams.leaves, k=1)[..., 0], beams.scores)


def invalid_share(found: TopK) -> Float[Array, "b"]:
    """Share of the ids of `write_freely` that no item has."""
    live = found.scores > -jnp.inf
    return (live & (found.ids < 0)).sum(1) / jnp.maximum(live.sum(1), 1)


@partial(jax.jit, static_argnames=("model",))
def score_items(
    model: Generator, params: Params, inputs: Inputs, readers: Readers, items: Int[Array, "b n"]
) -> Float[Array, "b n"]:
    """Log-probability of the id of each candidate, by which `recommend` ranks."""
    step, cache = _started(model, params, inputs, readers)
    codes = inputs.codes[items] + jnp.int32(model.vocabulary.shared)
    return score_codes(step, cache, codes)


def _started(
    model: Generator, params: Params, inputs: Inputs, readers: Readers
) -> tuple[Step, Any]:
    def call(method: str, *args: Any) -> Any:
        return model.apply({"params": params}, *args, method=method)

    fixed, cache = call("start", call("encode", *encoder_inputs(inputs, *readers)))

    def step(cache: Any, codes: Array | None, level: int) -> tuple[Array, Any]:
        return call("step", cache, fixed, codes, level)

    return step, cache


class _Search(NamedTuple):
    """The static part of a retriever."""

    model: Generator
    width: int
    official: bool


class _Arrays(NamedTuple):
    """The arrays of a retriever."""

    inputs: Inputs
    trie: Trie
    history: Int[Array, "u s"]


def id_retriever(
    model: Generator,
    inputs: Inputs,
    history: Int[Array, "u s"] | Int[np.ndarray, "u s"],
    *,
    width: int = 50,
    official: bool = False,
) -> Retriever:
    """Items by a search through the ids, `CHUNK` users at a time.

    Args:
        model: from `mmgrec.generator`.
        inputs: frozen vectors and ids.
        history: items that are read of every user; -1 is padding.
        width: beams; a query is given no more items.
        official: as the released code does, write freely (`write_freely`) and leave nothing out,
            whatever is to be excluded.
    """
    arrays = _Arrays(inputs, id_trie(model, inputs.codes), jnp.asarray(history, jnp.int32))
    return Retriever.bind(
        _Search(model, width, official),
        arrays,
        index=_index,
        retrieve=_retrieve,
        n_candidates=len(inputs.codes),
        chunk=CHUNK,
    )


def _index(search: _Search, arrays: _Arrays, variables: Variables, key: Array) -> Params:
    return variables["params"]


def _retrieve(
    search: _Search,
    arrays: _Arrays,
    params: Params,
    queries: Int[Array, "b"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    inputs, trie, history = arrays
    args = (search.model, params, inputs, trie, Readers(queries, history[queries]))
    if search.official:
        return TopK(*(x[:, :k] for x in write_freely(*args, width=search.width)))
    # A search that leaves nothing out is cheaper.
    excluded = exclude.table(len(queries)) if exclude is not None and exclude.most else None
    return recommend(*args, excluded, width=search.width, k=k)
