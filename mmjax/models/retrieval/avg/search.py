"""AVG, inference: images of a gallery by beam search over their codes.

Axes: b captions, s tokens of a caption, i images, l levels, c candidates of a caption, g images of
the gallery.
"""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Integer

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.decoding.beams import Beams, beam_items, beam_search, score_codes
from mmjax.blocks.decoding.trie_subsets import Subset, block
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.layers.decoding import decode_step
from mmjax.models.retrieval.avg.network import AVG
from mmjax.objective import Params, Variables
from mmjax.retriever import Exclusion, Retriever, TopK

CHUNK = 64
"""Captions that are decoded at a time."""


def gallery_trie(
    codes: Integer[np.ndarray, "i l"], sizes: Sequence[int], images: Integer[np.ndarray, "g"]
) -> Trie:
    """The codes of some images with their end, which is one more level of one token."""
    chosen = np.unique(images)
    ended = np.pad(np.asarray(codes)[chosen], ((0, 0), (0, 1)))
    return build_trie(ended, (*sizes, 1), items=chosen)


def search_codes(
    model: AVG,
    params: Params,
    trie: Trie,
    captions: Int[Array, "b s"],
    *,
    subset: Subset | None = None,
) -> Beams:
    """The likeliest codes of a trie from `gallery_trie`; the last of their tokens is the end.

    Images may share a code: `mmjax.evaluation.gallery.code_recall` reads the leaves.
    """
    step, cache = decode_step(model, params, captions)
    width = model.config.beams
    return beam_search(step, cache, trie, batch=len(captions), width=width, subset=subset)


def search_many(model: AVG, params: Params, trie: Trie, captions: Int[Array, "b s"]) -> Beams:
    """`search_codes` for any number of captions, `CHUNK` at a time."""
    return map_batched(partial(search_codes, model, params, trie), captions, size=CHUNK)


def score_images(
    model: AVG, params: Params, captions: Int[Array, "b s"], codes: Integer[Array, "b c l"]
) -> Float[Array, "b c"]:
    """Log-probabilities of given codes, such as those of another retriever's candidates."""
    step, cache = decode_step(model, params, captions)
    ended = jnp.pad(codes.astype(jnp.int32), ((0, 0), (0, 0), (0, 1)))
    return score_codes(step, cache, ended)


def gallery_retriever(model: AVG, trie: Trie, n_images: int) -> Retriever:
    """Images of a trie by their codes, scored by log-probabilities; equal codes by image.

    Queries are tokens of captions, padded with 0. There are as many codes as beams.
    """
    return Retriever.bind(
        model, trie, index=_index, retrieve=_retrieve, n_candidates=n_images, chunk=CHUNK
    )


def _index(model: AVG, trie: Trie, variables: Variables, key: Array) -> Params:
    return variables["params"]


def _retrieve(
    model: AVG,
    trie: Trie,
    params: Params,
    queries: Int[Array, "b s"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    subset = None
    if exclude is not None and exclude.most:
        subset = block(trie, exclude.table(len(queries)))
    beams = search_codes(model, params, trie, queries, subset=subset)
    return TopK(*beam_items(beams, trie, k=k, subset=subset))
