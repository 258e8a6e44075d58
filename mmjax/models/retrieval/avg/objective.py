"""AVG: a T5 that reads a caption and writes the tokens ("vokens") of the image it asks for.

Y. Li, H. Cai et al., SIGIR 2025, arXiv 2407.17274. Two stages: generation by teacher forcing,
then ranking, where the loss compares the right image with what a search finds instead.

Differences from the released code: the search within training has no dropout; a beam that equals
the right code is masked; the ranking loss takes one softmax (switch `official`).

Axes: b captions, s tokens of a caption, i images, l levels, w beams, q training captions, g images
of the gallery, z latent width, d features of images.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Int, Integer, Key

from mmjax.blocks.common.collectives import global_mean, own_key
from mmjax.blocks.decoding.beams import beam_search
from mmjax.blocks.decoding.listwise import gold_first
from mmjax.blocks.decoding.tries import Trie
from mmjax.layers.decoding import decode_step
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval.avg.config import AVGConfig
from mmjax.models.retrieval.avg.network import AVG, check_codebooks, with_codebooks
from mmjax.models.retrieval.avg.search import gallery_retriever, gallery_trie
from mmjax.objective import Aux, Bound, Objective, Params, State, Variables
from mmjax.retriever import Model


class Vokens(NamedTuple):
    """Discrete tokens of all images, by the tokenizer."""

    codes: Integer[np.ndarray, "i l"]
    codebooks: Sequence[Float[Array, "_ z"] | Float[np.ndarray, "_ z"]]
    """Of every level."""
    decoded: Float[np.ndarray, "i d"] | None = None
    """The features that the codes stand for, where the tokenizer made them."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return tuple(len(book) for book in self.codebooks)


class _Inputs(NamedTuple):
    """Tables of training, and in the ranking stage the trie that negatives are searched in."""

    codes: Int[Array, "i l"]
    captions: Int[Array, "q s"]
    image: Int[Array, "q"]
    trie: Trie | None


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


def _init(model: AVG, books: list[Array], key: Array) -> Variables:
    example, codes = jnp.zeros((1, 2), jnp.int32), jnp.zeros((1, 1, len(model.sizes)), jnp.int32)
    params = model.init(key, example, codes)["params"]
    return {"params": with_codebooks(model, params, books)}


def _go_on(model: AVG, params: Params, key: Array) -> Variables:
    return {"params": params}


def _loss(
    model: AVG,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    c, row, where = model.config, batch["row"], batch["where"]
    text, own = inputs.captions[row], inputs.codes[inputs.image[row]]
    candidates, others = own[:, None], None
    if inputs.trie is not None:
        found, others = negatives(model, params, inputs.trie, text, own)
        candidates = jnp.concatenate([candidates, found], axis=1)
    rngs = {"dropout": own_key(key, axis)}
    logits: Any = model.apply({"params": params}, text, candidates, train=True, rngs=rngs)
    temperature = c.temperature if inputs.trie is None else c.rank_temperature
    gains = model.log_probabilities(logits, candidates, temperature)
    value = global_mean(-gains[:, 0].mean(1), axis, where=where)
    metrics = {"cross_entropy": value}
    if others is not None:
        scores = gains.sum(-1)
        ranks = gold_first(scores[:, 0], scores[:, 1:], where=others, double_softmax=c.official)
        metrics["rank"] = global_mean(ranks, axis, where=where)
        first = scores[:, 0] >= jnp.where(others, scores[:, 1:], -jnp.inf).max(1)
        metrics["first"] = global_mean(first.astype(jnp.float32), axis, where=where)
        value = value + c.rank_weight * metrics["rank"]
    return value, Aux(state, metrics)


def build(
    config: AVGConfig,
    task: QueryTask,
    vokens: Vokens,
    gallery: Integer[np.ndarray, "g"],
    *,
    vocabulary: int,
    start: Params | None = None,
) -> Model:
    """One stage of AVG, retrieving images of a gallery for the tokens of captions.

    Batches are those of `mmjax.training.sources.rows_source` over the training captions, whose
    padding is 0.

    Args:
        config: hyper-parameters.
        task: training captions and pseudo queries with their images, rows of the codes.
        vokens: of all images.
        gallery: images that the retriever may find.
        vocabulary: tokens of captions; vokens are numbered behind them.
        start: None is the generative stage, whose vokens start as the codebooks; trained
            parameters begin the discriminative stage.

    Raises:
        ValueError: settings or shapes that do not fit each other, a token or an image out of
            range, or an empty gallery.
    """
    model = AVG(config, vocabulary, vokens.sizes)
    _check(config, task, vokens, gallery, vocabulary)
    books = [jnp.asarray(book, jnp.float32) for book in vokens.codebooks]
    check_codebooks(model, books)
    codes = np.asarray(vokens.codes)
    inputs = _Inputs(
        jnp.asarray(codes, jnp.int32),
        jnp.asarray(task.queries, jnp.int32),
        jnp.asarray(task.candidate, jnp.int32),
        None if start is None else gallery_trie(codes, vokens.sizes, task.candidate),
    )
    init = (
        Partial(Bound(_init, model), books)
        if start is None
        else Partial(Bound(_go_on, model), start)
    )
    return Model(
        Objective(init, Partial(Bound(_loss, model), inputs)),
        gallery_retriever(model, gallery_trie(codes, vokens.sizes, gallery), len(codes)),
    )


def _check(
    config: AVGConfig, task: QueryTask, vokens: Vokens, gallery: np.ndarray, vocabulary: int
) -> None:
    codes, sizes = np.asarray(vokens.codes), vokens.sizes
    if config.shared and len(set(sizes)) > 1:
        raise ValueError(f"AVG: levels of {sizes} codes cannot share their tokens")
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or (codes.max(0) >= sizes).any():
        raise ValueError(f"AVG: codes {codes.shape} do not fit codebooks of {sizes}")
    if len(task.queries) != len(task.candidate) or not len(task.candidate) or not len(gallery):
        raise ValueError(
            f"AVG: {len(task.queries)} captions, {len(task.candidate)} images of them and a "
            f"gallery of {len(gallery)}; give an image a caption, and images to find"
        )
    for name, x, n in (
        ("image", task.candidate, len(codes)),
        ("image of the gallery", gallery, len(codes)),
        ("token", task.queries, vocabulary),
    ):
        if x.size and (x.min() < 0 or x.max() >= n):
            bad = x.min() if x.min() < 0 else x.max()
            raise ValueError(f"AVG: {name} {bad} is out of range (0..{n - 1})")
