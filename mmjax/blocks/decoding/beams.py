"""Beam search over the codes of a trie, exact and without a host callback, and its yardsticks.

The model enters as ``step(carry, tokens, level) -> (logits, carry)``, a pure function of the
caller's: logits ``[b, w, t]`` of the tokens of `level`, after the prefix whose last token is
``tokens [b, w]`` (None at level 0). `carry` is what belongs to a beam, such as a cache of keys and
values: every leaf begins with the axes ``[b, w]`` and follows its beam. What belongs to the query
alone, such as the encoder's keys and values, is closed over and never copied:

    @jax.jit
    def recommend(variables, trie, history):
        memory = model.apply(variables, history, method="encode")

        def step(cache, tokens, level):
            return model.apply(variables, memory, cache, tokens, level, method="decode")

        beams = beam_search(step, empty_cache, trie, batch=history.shape[0], width=20)
        return beam_items(beams, trie, k=10)

At level 0 w is 1, later it grows up to the width asked for; one program, whatever the inputs.
Scores are float32 whatever the dtype of the logits. Logits may be -inf, never NaN.

Axes: b queries, w beams, l levels, t tokens of a vocabulary, c choices of a beam, n codes, k items.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.decoding.trie_subsets import Subset, open_children, open_slots, slot_of_rank
from mmjax.blocks.decoding.trie_walk import child, children, lookup, nth_child, start_nodes
from mmjax.blocks.decoding.tries import Trie
from mmjax.blocks.ranking.topk import top_k

Step = Callable[[Any, Any, int], tuple[Array, Any]]
_Pick = Callable[[Array, Array], tuple[Array, Array]]
_Offer = Callable[[int, Array, Any, Array], tuple[Array, int, _Pick]]

NORMALIZE = ("full", "valid")


class Beams(NamedTuple):
    """Codes found, best first; where there are fewer than asked for, the rest is dead."""

    tokens: Int[Array, "b w l"]
    """Their tokens; -1 where dead."""
    scores: Float[Array, "b w"]
    """Sum of their log-probabilities; -inf where dead."""
    leaves: Int[Array, "b w"]
    """Their leaves in the trie; -1 where dead, or where the code is in no leaf."""


def beam_search(
    step: Step,
    carry: Any,
    trie: Trie,
    *,
    batch: int,
    width: int,
    start: Int[Array, "b"] | None = None,
    subset: Subset | None = None,
    normalize: str = "full",
) -> Beams:
    """The best codes of the trie, by the sum of the log-probabilities of their tokens.

    With a width of the number of codes it is exhaustive ranking, with 1 greedy search. Equal
    prefixes keep the order of their parents, then of their tokens, so results are deterministic.

    Args:
        step: the model, see the head of this file.
        carry: its state before level 0; leaves begin with ``[batch, 1]``. May be empty.
        trie: what may be decoded.
        batch: number of queries, b.
        width: beams, w; at least as many as items are wanted.
        start: root of each query in a trie of several; no root gives dead beams. None is root 0.
        subset: items to leave out or keep to, from `trie_subsets.block` or `allow`: the result is
            that of a trie without the others. Hand it to `beam_items` too.
        normalize: "full" takes probabilities over the whole vocabulary and masks afterwards, as
            Hugging Face's constrained generation and STATIC do; "valid" over a prefix's children
            in the trie alone.

    Raises:
        ValueError: a width below 1, an unknown `normalize`, or a carry or logits of wrong shape.
    """
    _check(carry, batch, width, normalize)

    def offer(level: int, node: Array, last: Any, logits: Array) -> Any:
        token, there = children(trie, node, level=level)
        if subset is not None:
            there = open_children(subset, trie, node, there, level=level)

        def pick(parent: Array, column: Array) -> tuple[Array, Array]:
            return nth_child(trie, _along(node, parent), column, level=level)

        if trie.masks[level] is not None:
            own = logits[..., : there.shape[2]]
        else:
            own = jnp.take_along_axis(logits, token, 2, mode="clip")
        gain = _log_probabilities(own, there, logits, normalize)
        if trie.end is not None and level:
            gain = jnp.where((last == trie.end)[..., None] & there, 0.0, gain)
        return gain, trie.branching[level], pick

    roots = start_nodes(trie, start, (batch,))
    tokens, scores, node = _search(step, carry, trie, offer, roots, width)
    return Beams(tokens, scores, jnp.where(scores > -jnp.inf, node - trie.leaf0, -1))


def free_beam_search(
    step: Step,
    carry: Any,
    trie: Trie,
    *,
    batch: int,
    width: int,
    start: Int[Array, "b"] | None = None,
    drop: tuple[int, ...] = (),
) -> Beams:
    """Beam search over all token sequences as long as the trie's codes; `invalid_rate` judges it.

    Tokens of `drop` (start, end, padding) keep their probability and are never chosen. Other
    arguments and errors as in `beam_search` (MMGRec's published evaluation, arXiv 2404.16555).
    """
    _check(carry, batch, width, "full")

    def offer(level: int, node: Array, last: Any, logits: Array) -> Any:
        gain = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        if drop:
            gain = gain.at[..., jnp.asarray(drop)].set(-jnp.inf)
        return gain, gain.shape[2], lambda parent, column: (column, _along(node, parent))

    nowhere = jnp.zeros(batch, jnp.int32)
    tokens, scores, _ = _search(step, carry, trie, offer, nowhere, width)
    return Beams(
        tokens, scores, lookup(trie, tokens, None if start is None else _tile(start, width))
    )


def invalid_rate(beams: Beams) -> Float[Array, "b"]:
    """Of each query's live beams, the share whose code no item has."""
    live = beams.scores > -jnp.inf
    invalid = live & (beams.leaves < 0)
    return invalid.sum(1) / jnp.maximum(live.sum(1), 1)


def score_codes(
    step: Step,
    carry: Any,
    codes: Int[Array, "b n l"],
    *,
    trie: Trie | None = None,
    start: Int[Array, "b"] | None = None,
    normalize: str = "full",
) -> Float[Array, "b n"]:
    """Sum of the log-probabilities of the tokens of given codes: what `beam_search` would score.

    The step runs with w = n. With a trie, codes below the roots `start` that it lacks score -inf,
    and its end token is free from its second on; tokens must lie inside the logits.

    Raises:
        ValueError: "valid" without a trie, codes that are not as long as the trie's, or as
            `beam_search` does.
    """
    batch, n, length = codes.shape
    _check(carry, batch, n, normalize)
    if trie is None and normalize == "valid":
        raise ValueError('score_codes: normalize="valid" needs the trie')
    if trie is not None and trie.length != length:
        raise ValueError(f"score_codes: codes of {length} levels, the trie has {trie.length}")
    node = None if trie is None else _tile(start_nodes(trie, start, (batch,)), n)
    score = jnp.zeros((batch, n), jnp.float32)
    for level in range(length):
        last = codes[:, :, level - 1] if level else None
        logits, carry = step(carry, last, level)
        if not level:
            _check_logits(logits, (batch, 1), 1, level)
            logits, carry = jax.tree.map(lambda x: jnp.repeat(x, n, axis=1), (logits, carry))
        _check_logits(logits, (batch, n), 1, level)
        token = codes[:, :, level]
        known, pool = jnp.ones((batch, n), bool), logits
        if trie is not None and node is not None:
            if normalize == "valid":
                choice, there = children(trie, node, level=level)
                pool = jnp.take_along_axis(logits, choice, 2, mode="clip")
                pool = jnp.where(there, pool, -jnp.inf)
            node = child(trie, node, token, level=level)
            known = node < trie.n_nodes
        own = jnp.take_along_axis(logits, token[..., None], 2, mode="clip")
        gain = _log_probabilities(own, known[..., None], pool, "full")[..., 0]
        if trie is not None and trie.end is not None and last is not None:
            gain = jnp.where(known & (last == trie.end), 0.0, gain)
        score += gain
    return score


def beam_items(
    beams: Beams, trie: Trie, *, k: int, subset: Subset | None = None
) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """The items of the beams' leaves and their scores, best first; then items -1 at -inf.

    Items of one leaf share its score and follow each other by item id. Exact as long as the beams
    hold k items. With the `subset` of the search, no item of it (or none but its) is given.
    """
    count, first = open_slots(subset, trie, beams.leaves)
    behind = jnp.cumsum(count, axis=1)
    place = jnp.arange(k, dtype=jnp.int32)
    beam = jax.vmap(lambda x: jnp.searchsorted(x, place, side="right"))(behind).astype(jnp.int32)
    there = beam < count.shape[1]
    beam = jnp.minimum(beam, count.shape[1] - 1)
    rank = _along(first - (behind - count), beam) + place[None]
    slot = slot_of_rank(subset, rank)
    items = trie.leaf_items.at[slot].get(mode="clip")
    scores = jnp.where(there, _along(beams.scores, beam), -jnp.inf)
    return jnp.where(there, items, -1), scores


def _search(
    step: Step, carry: Any, trie: Trie, offer: _Offer, node: Array, width: int
) -> tuple[Array, Array, Array]:
    """Tokens, scores and nodes of the best sequences of what `offer` proposes.

    ``offer(level, node, last, logits)`` gives the log-probability of each choice ``[b, w, c]``,
    how many choices a beam can have at most, and the token and node of those that are picked.
    """
    batch = node.shape[0]
    node, score = node[:, None], jnp.zeros((batch, 1), jnp.float32)
    tokens = jnp.zeros((batch, 1, 0), jnp.int32)
    for level in range(trie.length):
        last = tokens[:, :, -1] if level else None
        logits, carry = step(carry, last, level)
        _check_logits(logits, score.shape, trie.sizes[level], level)
        gain, most, pick = offer(level, node, last, logits)
        total = (score[..., None] + gain).reshape(batch, -1)
        score, place = top_k(total, min(width, score.shape[1] * most))
        parent, column = jnp.divmod(jnp.maximum(place, 0), gain.shape[2])
        token, node = pick(parent, column)
        dead = place < 0
        token, node = jnp.where(dead, 0, token), jnp.where(dead, trie.n_nodes, node)
        tokens = jnp.concatenate([_rows(tokens, parent), token[..., None]], axis=2)
        if level + 1 < trie.length:
            carry = jax.tree.map(lambda x, p=parent: _rows(x, p), carry)
    tokens = jnp.where((score > -jnp.inf)[..., None], tokens, -1)
    more = ((0, 0), (0, width - score.shape[1]))
    return (
        jnp.pad(tokens, (*more, (0, 0)), constant_values=-1),
        jnp.pad(score, more, constant_values=-jnp.inf),
        jnp.pad(node, more, constant_values=trie.n_nodes),
    )


def _log_probabilities(own: Array, there: Array, logits: Array, normalize: str) -> Array:
    """Of the `own` logits where `there`, else -inf; over the logits, or over these alone."""
    own = jnp.where(there, own.astype(jnp.float32), -jnp.inf)
    pool = own if normalize == "valid" else logits.astype(jnp.float32)
    top = pool.max(-1, keepdims=True)
    top = jnp.where(top > -jnp.inf, top, 0.0)
    rest = jnp.log(jnp.exp(pool - top).sum(-1, keepdims=True))
    return jnp.where(own > -jnp.inf, own - top - rest, -jnp.inf)


def _along(x: Array, index: Array) -> Array:
    return jnp.take_along_axis(x, index, 1)


def _rows(x: Array, index: Array) -> Array:
    """Beams `index` of each query."""
    return jax.vmap(lambda rows, i: rows.at[i].get(mode="promise_in_bounds"))(x, index)


def _tile(x: Array, n: int) -> Array:
    return jnp.broadcast_to(x[:, None], (x.shape[0], n))


def _check(carry: Any, batch: int, width: int, normalize: str) -> None:
    if width < 1:
        raise ValueError(f"decode: width (or number of codes) is {width}; it must be 1 or more")
    if normalize not in NORMALIZE:
        raise ValueError(f"decode: normalize must be one of {NORMALIZE}, got {normalize!r}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(carry):
        if jnp.shape(leaf)[:2] != (batch, 1):
            raise ValueError(
                f"decode: carry{jax.tree_util.keystr(path)} has shape {jnp.shape(leaf)}; its first "
                f"axes must be queries and one beam, {(batch, 1)}. What all beams of a query share "
                "is closed over by the step instead"
            )


def _check_logits(logits: Array, lead: tuple[int, ...], least: int, level: int) -> None:
    if logits.ndim != 3 or logits.shape[:2] != lead or logits.shape[2] < least:
        raise ValueError(
            f"decode: the step's logits at level {level} have shape {logits.shape}; expected "
            f"{lead} and {least} or more tokens"
        )
