"""Topics of the first corpus: the fixed keys of the pool, and words that name them.

Axes: c topics, w width.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.prompt_dsi.config import PromptDSI
from experiments.prompt_dsi.problem import Problem, features
from mmjax.blocks.quantisation import topics
from mmjax.data.io.files import atomic_write_text
from mmjax.models.retrieval.prompt_dsi.stages import Weights

_WORD = re.compile(r"\w+")
_WORDS, _SHOWN, _LONGEST = 5000, 6, 32


class Topics(NamedTuple):
    """What queries of the first corpus are about."""

    keys: Float[jax.Array, "c w"]
    """Mean vector of each topic's queries."""
    words: list[list[str]]
    """Of each topic, the words that tell it from the others, best first."""
    sizes: list[int]
    """Queries of each topic; the rest are outliers."""

    def save(self, path: Path) -> None:
        """Write words and sizes as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"queries": n, "words": w} for n, w in zip(self.sizes, self.words, strict=True)]
        atomic_write_text(path, json.dumps(rows, indent=1) + "\n")


def find_topics(config: PromptDSI, problem: Problem, weights: Weights, seed: int) -> Topics:
    """Cluster the training queries of the first corpus, as the frozen encoder sees them.

    Raises:
        ImportError: HDBSCAN is asked for, and scikit-learn is not installed.
        ValueError: there are fewer queries than topics, or no cluster is found.
    """
    rows = problem.asking(range(1), "train", "generated")
    found = features(config.model, problem, weights, rows)
    x = found.query if config.model.topic_feature == "query_layer" else found.features
    if config.topics == "hdbscan":
        labels = topics.hdbscan_topics(np.asarray(x), least=config.least)
        topic = jnp.asarray(labels, jnp.int32)
        number = int(topic.max()) + 1
    else:
        topic = topics.spherical_topics(jax.random.key(seed), x, config.model.pool)
        number = config.model.pool
    keys = topics.topic_embeddings(x, topic, number)
    sizes = np.bincount(np.asarray(topic)[np.asarray(topic) >= 0], minlength=number)
    texts = [problem.corpus.queries[n] for n in rows]
    return Topics(keys, names(texts, np.asarray(topic), number), sizes.tolist())


def names(texts: list[str], topic: np.ndarray, number: int) -> list[list[str]]:
    """The words of each topic of the largest c-TF-IDF, among the most frequent ones."""
    split = [_WORD.findall(text.lower())[:_LONGEST] for text in texts]
    known = [w for w, _ in Counter(w for words in split for w in words).most_common(_WORDS)]
    place = {word: n for n, word in enumerate(known)}
    ids = np.full((len(texts), _LONGEST), -1, np.int32)
    for row, words in enumerate(split):
        ids[row, : len(words)] = [place.get(w, -1) for w in words]
    like = jnp.zeros((number, len(known)))
    counts = topics.word_counts(jnp.asarray(ids), jnp.asarray(topic, jnp.int32), like)
    weights = np.asarray(topics.class_tf_idf(counts))
    best = np.argsort(-weights, axis=1, kind="stable")[:, :_SHOWN]
    return [[known[w] for w in row if weights[c, w] > 0] for c, row in enumerate(best)]
