"""AVG: a T5 that reads a caption and writes the tokens ("vokens") of the image it asks for.

Y. Li, H. Cai et al., SIGIR 2025, arXiv 2407.17274. Two stages: generation by teacher forcing,
then ranking, where the loss compares the right image with what a search finds instead.

Differences from the released code: the search within training has no dropout; a beam that equals
the right code is masked; the ranking loss takes one softmax (switch `double_softmax`).

Axes: b captions, s tokens of a caption, i images, l levels, c candidates of a caption, w beams,
q training captions, a asked captions, f images found, p images of the pool, z latent width.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Int, Integer, Key

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.decoding.beams import Beams, beam_items, beam_search, score_codes
from mmjax.blocks.decoding.listwise import gold_first
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.layers.decoding import decode_step
from mmjax.models.retrieval.avg.config import AVGConfig
from mmjax.models.retrieval.avg.network import AVG, check_codebooks, with_codebooks
from mmjax.objective import Aux, Objective, Params

_CAPTIONS = 64
"""Captions that `predict` decodes at a time."""


class Task(NamedTuple):
    """Captions with the images they are about, and captions that `predict` answers."""

    vocabulary: int
    """Tokens of captions; vokens are numbered behind them."""
    captions: Integer[np.ndarray, "q s"]
    """Training captions and pseudo queries: tokens, padded with 0."""
    image: Integer[np.ndarray, "q"]
    """Their images, rows of the codes."""
    asked: Integer[np.ndarray, "a s"]
    """Tokens, padded."""
    pool: Integer[np.ndarray, "p"]
    """Images that may be found."""


class Found(NamedTuple):
    """Images for each caption, best first, and the codes that they were found by."""

    images: Int[Array, "a f"]
    """-1 where there are fewer. Images of one code follow each other by their number."""
    scores: Float[Array, "a f"]
    """Log-probabilities of their codes."""
    beams: Beams
    """Leaves are those of `pool_trie`; the last of a code's tokens is the end."""


def pool_trie(
    codes: Integer[np.ndarray, "i l"], sizes: Sequence[int], images: Integer[np.ndarray, "p"]
) -> Trie:
    """The codes of some images with their end, which is one more level of one token."""
    chosen = np.unique(images)
    ended = np.pad(np.asarray(codes)[chosen], ((0, 0), (0, 1)))
    return build_trie(ended, (*sizes, 1), items=chosen)


def search(model: AVG, params: Params, trie: Trie, captions: Int[Array, "b s"]) -> Found:
    """The likeliest images of a trie from `pool_trie`, by beam search over their codes."""
    c = model.config
    step, cache = decode_step(model, params, captions)
    beams = beam_search(step, cache, trie, batch=len(captions), width=c.beams)
    return Found(*beam_items(beams, trie, k=c.found), beams)


def search_all(model: AVG, params: Params, trie: Trie, asked: Int[Array, "a s"]) -> Found:
    """`search` for many captions, some at a time."""
    return map_batched(functools.partial(search, model, params, trie), asked, size=_CAPTIONS)


def score_images(
    model: AVG, params: Params, captions: Int[Array, "b s"], codes: Integer[Array, "b c l"]
) -> Float[Array, "b c"]:
    """Log-probabilities of given codes, such as those of another retriever's candidates."""
    step, cache = decode_step(model, params, captions)
    ended = jnp.pad(codes.astype(jnp.int32), ((0, 0), (0, 0), (0, 1)))
    return score_codes(step, cache, ended)


def negatives(
    model: AVG, params: Params, trie: Trie, captions: Int[Array, "b s"], own: Int[Array, "b l"]
) -> tuple[Int[Array, "b w l"], Bool[Array, "b w"]]:
    """Codes that a search finds instead of the captions' own, and which of them count."""
    step, cache = decode_step(model, lax.stop_gradient(params), captions)
    width = model.config.rank_beams
    beams = beam_search(step, cache, trie, batch=len(captions), width=width)
    codes = beams.tokens[..., :-1]
    where = (beams.leaves >= 0) & (codes != own[:, None]).any(-1)
    return jnp.maximum(codes, 0), where


def _loss(
    model: AVG,
    codes: Array,
    captions: Array,
    image: Array,
    trie: Trie | None,
    params: Params,
    state: Any,
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    axis: str | None = None,
) -> tuple[Array, Aux]:
    c, row, where = model.config, batch["row"], batch["where"]
    if axis is not None:
        key = jax.random.fold_in(key, lax.axis_index(axis))
    text, own = captions[row], codes[image[row]]
    candidates, others = own[:, None], None
    if trie is not None:
        found, others = negatives(model, params, trie, text, own)
        candidates = jnp.concatenate([candidates, found], axis=1)
    rngs = {"dropout": key}
    logits: Any = model.apply({"params": params}, text, candidates, train=True, rngs=rngs)
    temperature = c.temperature if trie is None else c.rank_temperature
    gains = model.log_probabilities(logits, candidates, temperature)
    value = global_mean(-gains[:, 0].mean(1), axis, where=where)
    metrics = {"cross_entropy": value}
    if others is not None:
        scores = gains.sum(-1)
        ranks = gold_first(
            scores[:, 0], scores[:, 1:], where=others, double_softmax=c.double_softmax
        )
        metrics["rank"] = global_mean(ranks, axis, where=where)
        first = scores[:, 0] >= jnp.where(others, scores[:, 1:], -jnp.inf).max(1)
        metrics["first"] = global_mean(first.astype(jnp.float32), axis, where=where)
        value = value + c.rank_weight * metrics["rank"]
    return value, Aux(state, metrics)


def _predict(
    model: AVG, trie: Trie, asked: Array, params: Params, state: Any, key: Key[Array, ""]
) -> Found:
    return search_all(model, params, trie, asked)


def build(
    config: AVGConfig,
    task: Task,
    codes: Integer[np.ndarray, "i l"],
    codebooks: Sequence[Float[Array, "_ z"] | Float[np.ndarray, "_ z"]],
    *,
    start: Params | None = None,
) -> Objective:
    """One stage of AVG; `predict` gives `Found` for the task's asked captions.

    Batches are those of `mmjax.training.sources.rows_source` over the training captions.

    Args:
        config: hyper-parameters.
        task: captions and images.
        codes: of all images, by the tokenizer.
        codebooks: of every level.
        start: None is the generative stage, whose vokens start as the codebooks; trained
            parameters begin the discriminative stage.

    Raises:
        ValueError: settings or shapes that do not fit each other, a token or an image out of
            range, or an empty pool.
    """
    sizes = tuple(len(book) for book in codebooks)
    model = AVG(config, task.vocabulary, sizes)
    _check(config, task, np.asarray(codes), sizes)
    books = [jnp.asarray(book, jnp.float32) for book in codebooks]
    check_codebooks(model, books)
    table = jnp.asarray(codes, jnp.int32)
    rows = jnp.asarray(task.captions, jnp.int32), jnp.asarray(task.image, jnp.int32)
    known = None if start is None else pool_trie(codes, sizes, task.image)

    def init(books: list[Array], key: Array) -> Any:
        example = jnp.zeros((1, 2), jnp.int32)
        params = model.init(key, example, jnp.zeros((1, 1, len(sizes)), jnp.int32))["params"]
        return {"params": with_codebooks(model, params, books)}

    def go_on(params: Params, key: Array) -> Any:
        return {"params": params}

    return Objective(
        Partial(init, books) if start is None else Partial(go_on, start),
        Partial(functools.partial(_loss, model), table, *rows, known),
        Partial(
            functools.partial(_predict, model),
            pool_trie(codes, sizes, task.pool),
            jnp.asarray(task.asked, jnp.int32),
        ),
    )


def _check(config: AVGConfig, task: Task, codes: np.ndarray, sizes: tuple[int, ...]) -> None:
    if config.shared and len(set(sizes)) > 1:
        raise ValueError(f"AVG: levels of {sizes} codes cannot share their tokens")
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or (codes.max(0) >= sizes).any():
        raise ValueError(f"AVG: codes {codes.shape} do not fit codebooks of {sizes}")
    if len(task.captions) != len(task.image) or not len(task.image) or not len(task.pool):
        raise ValueError(
            f"AVG: {len(task.captions)} captions, {len(task.image)} images of them and a pool of "
            f"{len(task.pool)}; give an image a caption, and images to find"
        )
    for name, x, n in (
        ("image", task.image, len(codes)),
        ("image of the pool", task.pool, len(codes)),
        ("token", task.captions, task.vocabulary),
        ("token", task.asked, task.vocabulary),
    ):
        if x.size and (x.min() < 0 or x.max() >= n):
            bad = x.min() if x.min() < 0 else x.max()
            raise ValueError(f"AVG: {name} {bad} is out of range (0..{n - 1})")
