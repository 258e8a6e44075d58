"""Vokens of all images: by the trained tokenizer, or without texts, for ablations.

Axes: i images, d features.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mmjax.blocks.quantisation.kmeans import residual_kmeans
from mmjax.models.retrieval import avg_tokenizer
from mmjax.models.retrieval.avg.config import AVGTokenizerConfig
from mmjax.models.retrieval.avg.objective import Vokens
from mmjax.objective import Variables


def tokenizer_vokens(
    config: AVGTokenizerConfig, variables: Variables, images: Float[np.ndarray, "i d"]
) -> Vokens:
    """The codes of a trained tokenizer, its codebooks, and the features that the codes stand for.

    Args:
        config: the tokenizer.
        variables: trained.
        images: features of all images.
    """
    codes = avg_tokenizer.encode(config, variables, images)
    books = [np.asarray(b) for b in avg_tokenizer.codebooks(config, variables)]
    decoded = avg_tokenizer.decode(config, variables, codes)
    return Vokens(np.asarray(codes), books, np.asarray(decoded))


def unaligned_vokens(
    images: Float[np.ndarray, "i d"],
    sizes: tuple[int, ...],
    *,
    by: Literal["residual_kmeans", "random"],
    width: int,
    seed: int = 0,
) -> Vokens:
    """Codes that know no captions: of k-means level by level, or drawn at random.

    Where no vectors of the language model's width stand behind the codes, the codebooks, which
    its embeddings start as, are noise.

    Args:
        images: features of all images.
        sizes: codes of each level.
        by: origin of the codes.
        width: of the language model.
        seed: of all draws.
    """
    if by == "residual_kmeans":
        books, codes = residual_kmeans(jax.random.key(seed), jnp.asarray(images), sizes)
        if images.shape[1] == width:
            return Vokens(np.asarray(codes), [np.asarray(b) for b in books])
    else:
        draw = np.random.default_rng(seed)
        drawn = [draw.integers(0, size, len(images)) for size in sizes]
        codes = np.stack(drawn, 1).astype(np.int32)
    draw = np.random.default_rng(seed + 1)
    noise = [draw.normal(size=(size, width)).astype(np.float32) for size in sizes]
    return Vokens(np.asarray(codes), noise)
