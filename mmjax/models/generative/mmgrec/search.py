"""MMGRec, inference: the items whose ids a trained generator writes.

Axes: b rows, s items of a source, m items left out, i items, l levels, w beams, k items found,
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
    invalid_rate,
    score_codes,
)
from mmjax.blocks.decoding.trie_subsets import block
from mmjax.blocks.decoding.trie_walk import leaf_members
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.models.generative.mmgrec.objective import Generator, Inputs, shown


class Found(NamedTuple):
    """Items for each row, best first."""

    items: Int[Array, "b k"]
    """-1 where an id is of no item, or there are fewer."""
    scores: Float[Array, "b k"]
    """Log-probabilities of the ids."""
    invalid: Float[Array, "b"]
    """Share of the ids that no item has."""


def id_trie(model: Generator, codes: Int[Array, "i l"] | Int[np.ndarray, "i l"]) -> Trie:
    """The trie of the items' ids, as the model numbers their tokens."""
    vocabulary = model.vocabulary
    return build_trie(vocabulary.trie_codes(np.asarray(codes)), vocabulary.trie_sizes)


@partial(jax.jit, static_argnames=("model", "width", "k"))
def recommend(
    model: Generator,
    params: Any,
    inputs: Inputs,
    trie: Trie,
    user: Int[Array, "b"],
    history: Int[Array, "b s"],
    blocked: Int[Array, "b m"] | None = None,
    *,
    width: int,
    k: int,
) -> Found:
    """The best items by constrained beam search; every id is that of an item.

    Args:
        model: from `mmgrec.generator`.
        params: trained.
        inputs: frozen vectors and ids.
        trie: from `id_trie`.
        user: their numbers.
        history: what each has met, in any order; -1 is padding.
        blocked: items that are left out, exactly, such as those met in training; -1 is padding.
        width: beams, k or more.
        k: items found.

    Raises:
        ValueError: fewer beams than items are asked for.
    """
    if width < k:
        raise ValueError(f"width {width} is below k {k}: a beam finds one item")
    step, cache = _started(model, params, inputs, user, history)
    subset = None if blocked is None else block(trie, blocked)
    beams = beam_search(step, cache, trie, batch=user.shape[0], width=width, subset=subset)
    items, scores = beam_items(beams, trie, k=k, subset=subset)
    return Found(items, scores, invalid_rate(beams))


@partial(jax.jit, static_argnames=("model", "width"))
def write_freely(
    model: Generator,
    params: Any,
    inputs: Inputs,
    trie: Trie,
    user: Int[Array, "b"],
    history: Int[Array, "b s"],
    *,
    width: int,
) -> Found:
    """The best ids among all that there could be, as the released code does: k is the width.

    An id of no item keeps its rank, with item -1; nothing is left out.
    """
    step, cache = _started(model, params, inputs, user, history)
    special = model.vocabulary.special
    beams = free_beam_search(step, cache, trie, batch=user.shape[0], width=width, drop=special)
    items = leaf_members(trie, beams.leaves, k=1)[..., 0]
    return Found(items, beams.scores, invalid_rate(beams))


@partial(jax.jit, static_argnames=("model",))
def score_items(
    model: Generator,
    params: Any,
    inputs: Inputs,
    user: Int[Array, "b"],
    history: Int[Array, "b s"],
    items: Int[Array, "b n"],
) -> Float[Array, "b n"]:
    """Log-probability of the id of each candidate: what `recommend` scores."""
    step, cache = _started(model, params, inputs, user, history)
    codes = inputs.codes[items] + jnp.int32(model.vocabulary.shared)
    return score_codes(step, cache, codes)


def _started(
    model: Generator, params: Any, inputs: Inputs, user: Array, history: Array
) -> tuple[Step, Any]:
    def call(method: str, *args: Any) -> Any:
        return model.apply({"params": params}, *args, method=method)

    fixed, cache = call("start", call("encode", *shown(inputs, user, history)))

    def step(cache: Any, codes: Array | None, level: int) -> tuple[Array, Any]:
        return call("step", cache, fixed, codes, level)

    return step, cache
