"""Topics of a set of vectors, and words that name them.

PromptDSI (arXiv 2406.12593) takes its topics from BERTopic (M. Grootendorst, arXiv 2203.05794),
which clusters by HDBSCAN after UMAP. Here a principal component analysis stands for UMAP, and the
clusters are found by spherical k-means, or by HDBSCAN of scikit-learn where that is installed.

Axes: n vectors, d width, r reduced width, c topics, v words.
"""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Key

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation.codes import counts_by_code, sums_by_code
from mmjax.blocks.quantisation.kmeans import kmeans


def principal(x: Float[Array, "n d"], width: int) -> Float[Array, "n r"]:
    """Centred `x` along its first principal components, at most `width` and at most d of them."""
    centred = x - x.mean(0, keepdims=True)
    _, vectors = jnp.linalg.eigh(centred.T @ centred)
    return centred @ vectors[:, ::-1][:, :width]


def spherical_topics(
    key: Key[Array, ""], x: Float[Array, "n d"], topics: int, *, width: int = 50, rounds: int = 30
) -> Int[Array, "n"]:
    """The topic of each vector: k-means on the unit sphere of the principal components.

    Args:
        key: for the seeds.
        x: vectors.
        topics: how many, 1 to n.
        width: principal components that are kept.
        rounds: of k-means.

    Raises:
        ValueError: there are not as many vectors as topics.
    """
    reduced = l2_normalise(principal(l2_normalise(x), width))
    return kmeans(key, reduced, topics, rounds=rounds).codes


def hdbscan_topics(
    x: Float[np.ndarray, "n d"], *, width: int = 50, least: int = 10
) -> Int[np.ndarray, "n"]:
    """The topic of each vector by HDBSCAN, -1 for outliers; the number of topics is found.

    Args:
        x: vectors.
        width: principal components that are kept.
        least: members of the smallest topic.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: there is no cluster of that size.
    """
    try:
        cluster: Any = importlib.import_module("sklearn.cluster")
    except ImportError as error:
        raise ImportError(
            "HDBSCAN topics need scikit-learn: pip install 'mmjax[topics]'; or use k-means"
        ) from error
    reduced = np.asarray(l2_normalise(principal(l2_normalise(jnp.asarray(x)), width)))
    labels = cluster.HDBSCAN(min_cluster_size=least, copy=True).fit_predict(reduced)
    if labels.max(initial=-1) < 0:
        raise ValueError(f"HDBSCAN finds no topic of {least} vectors; lower `least` or use k-means")
    return labels


def topic_embeddings(
    x: Float[Array, "n d"], topic: Int[Array, "n"], topics: int
) -> Float[Array, "c d"]:
    """Mean vector of each topic's members; outliers (-1) are left out, a topic of none is zero."""
    outside = jnp.where(topic < 0, topics, topic)
    sums = sums_by_code(x, outside, size=topics + 1)[:topics]
    counts = counts_by_code(outside, size=topics + 1)[:topics]
    return sums / jnp.maximum(counts, 1.0)[:, None]


def class_tf_idf(counts: Float[Array, "c v"]) -> Float[Array, "c v"]:
    """``tf_cv log(1 + A / f_v)``: how much a word tells a topic from the others (c-TF-IDF).

    tf is the word's share of the topic's words, f how often it stands in all topics, A the mean
    number of words in a topic (arXiv 2203.05794, section 3.3). A word that stands nowhere is 0.
    """
    total = counts.sum(1, keepdims=True)
    often = counts.sum(0, keepdims=True)
    share = counts / jnp.maximum(total, 1.0)
    weight = jnp.log1p(total.mean() / jnp.where(often > 0, often, 1.0))
    return jnp.where(often > 0, share * weight, 0.0)


@jax.jit
def word_counts(ids: Int[Array, "n s"], topic: Int[Array, "n"], like: Float[Array, "c v"]) -> Array:
    """How often each word stands in the texts of each topic.

    Args:
        ids: words of each text, in [0, v); -1 is none.
        topic: of each text; -1 is none.
        like: any array of the result's shape.
    """
    topic = jnp.broadcast_to(topic[:, None], ids.shape)
    known = (ids >= 0) & (topic >= 0)
    # Indices behind the end are dropped; negative ones would count from it.
    row = jnp.where(known, topic, like.shape[0])
    return jnp.zeros(like.shape).at[row, jnp.maximum(ids, 0)].add(1.0, mode="drop")
