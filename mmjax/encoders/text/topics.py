"""Topics of texts by vectors or words, in the manner of BERTopic, and words that name them.

M. Grootendorst, arXiv 2203.05794; see `mmjax.blocks.quantisation.topics`.

Axes: c topics, n texts, w width.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mmjax.blocks.quantisation import topics
from mmjax.data.core.continual import hashed_words

_WORD = re.compile(r"\w+")
_WORDS, _BEST, _LONGEST = 5000, 6, 32
_HASHES = 4096


class Topics(NamedTuple):
    """Topics of a set of texts."""

    keys: Float[jax.Array, "c w"]
    """Mean vector of each topic's texts."""
    words: list[list[str]]
    """Of each topic, the words that tell it from the others, best first."""
    sizes: list[int]
    """Texts of each topic; the rest are outliers."""


def vector_topics(
    x: Float[jax.Array, "n w"],
    texts: Sequence[str],
    *,
    count: int | None,
    min_count: int = 10,
    seed: int = 0,
) -> Topics:
    """Clusters of texts by their vectors.

    Args:
        x: the vectors.
        texts: the texts.
        count: topics of k-means; None leaves their number to HDBSCAN.
        min_count: texts of the smallest topic that HDBSCAN may find.
        seed: of k-means.

    Raises:
        ImportError: HDBSCAN is asked for, and scikit-learn is not installed.
        ValueError: there are fewer texts than topics, or no cluster is found.
    """
    if count is None:
        labels = topics.hdbscan_topics(np.asarray(x), least=min_count)
        topic = jnp.asarray(labels, jnp.int32)
        count = int(topic.max()) + 1
    else:
        topic = topics.spherical_topics(jax.random.key(seed), x, count)
    keys = topics.topic_embeddings(x, topic, count)
    topic = np.asarray(topic)
    sizes = np.bincount(topic[topic >= 0], minlength=count)
    return Topics(keys, topic_words(texts, topic, count), sizes.tolist())


def topic_words(texts: Sequence[str], topic: Int[np.ndarray, "n"], count: int) -> list[list[str]]:
    """The words of each topic of the largest c-TF-IDF, among the most frequent ones."""
    split = [_WORD.findall(text.lower())[:_LONGEST] for text in texts]
    known = [w for w, _ in Counter(w for words in split for w in words).most_common(_WORDS)]
    place = {word: n for n, word in enumerate(known)}
    ids = np.full((len(texts), _LONGEST), -1, np.int32)
    for row, words in enumerate(split):
        ids[row, : len(words)] = [place.get(w, -1) for w in words]
    like = jnp.zeros((count, len(known)))
    counts = topics.word_counts(jnp.asarray(ids), jnp.asarray(topic, jnp.int32), like)
    weights = np.asarray(topics.class_tf_idf(counts))
    best = np.argsort(-weights, axis=1, kind="stable")[:, :_BEST]
    return [[known[w] for w in row if weights[c, w] > 0] for c, row in enumerate(best)]


def word_topics(texts: Sequence[str], count: int, seed: int) -> Int[np.ndarray, "n"]:
    """Clusters of texts by k-means on their words as c-TF-IDF weighs them, each text a class."""
    ids = hashed_words(texts, _HASHES, 200)[:, 1:]
    counts = np.zeros((len(texts), _HASHES), np.float32)
    np.add.at(counts, (np.arange(len(texts))[:, None], ids), 1.0)
    counts[:, 0] = 0.0
    # A random projection keeps the distances and spares a decomposition of all words.
    drawn = np.random.default_rng(seed).normal(size=(_HASHES, 256)).astype(np.float32) / 16.0
    x = np.asarray(topics.class_tf_idf(jnp.asarray(counts))) @ drawn
    return np.asarray(topics.spherical_topics(jax.random.key(seed), jnp.asarray(x), count))
