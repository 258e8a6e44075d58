"""Synthetic features of images and of texts about them, as two pretrained towers would give."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from mmjax.data.core.captioned import CAPTION, PSEUDO, SPLITS, CaptionedImages
from mmjax.data.core.checks import DataError


class ConceptImages(NamedTuple):
    """Images that are vectors only, and bags of words about them."""

    data: CaptionedImages
    images: Float32[np.ndarray, "n m"]
    """Features of the images, of length one."""
    texts: Float32[np.ndarray, "t m"]
    """Features of the texts, of length one."""


def concept_images(
    seed: int = 0,
    *,
    counts: tuple[int, int, int] = (1400, 300, 300),
    concepts: int = 200,
    width: int = 64,
    vocabulary: int = 300,
    words: tuple[int, int] = (8, 5),
    texts: int = 5,
    noise: tuple[float, float] = (0.5, 0.5),
    gap: float = 0.5,
) -> ConceptImages:
    """Images of concepts; a text names some words of the concept.

    An image's feature is its concept's unit vector with noise; a text's is the image's feature,
    moved by a gap that all texts share, with noise. Noise and gap are lengths against that of a
    feature, which is one. (Small experiment of AVG's acceptance checks.)

    Args:
        seed: of all draws.
        counts: images of training, validation and test.
        concepts: there are; an image has one at random.
        width: of the features.
        vocabulary: words there are.
        words: words of a concept, and of a text about it.
        texts: captions of each image, and pseudo queries of each that is not for training.
        noise: of images and of texts.
        gap: between the modalities.

    Raises:
        ValueError: a concept or a text has more words than there are.
    """
    if not 0 < words[1] <= words[0] <= vocabulary:
        raise ValueError(
            f"concept_images: texts of {words[1]} of {words[0]} words of {vocabulary}; each "
            "number must be at most the next"
        )
    rng = np.random.default_rng(seed)

    def normalise(x: np.ndarray) -> np.ndarray:
        return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, width)) / width**0.5

    centres, apart = normalise(drawn(concepts)), normalise(drawn())
    concept_words = [rng.choice(vocabulary, words[0], replace=False) for _ in range(concepts)]
    split = np.repeat(np.arange(len(SPLITS), dtype=np.int32), counts)
    n = len(split)
    concept = rng.integers(0, concepts, n)
    images = normalise(centres[concept] + noise[0] * drawn(n))
    held_out = np.flatnonzero(split > 0)
    image = np.repeat(np.concatenate([np.arange(n), held_out]), texts).astype(np.int32)
    kind = np.repeat([CAPTION, PSEUDO], [n * texts, len(held_out) * texts]).astype(np.int32)
    captions = tuple(
        " ".join(
            f"w{word}" for word in rng.choice(concept_words[concept[row]], words[1], replace=False)
        )
        for row in image
    )
    features = normalise(images[image] + gap * apart + noise[1] * drawn(len(image)))
    data = CaptionedImages(
        name="concepts",
        image_ids=tuple(f"image_{row}" for row in range(n)),
        split=split,
        text=captions,
        image=image,
        kind=kind,
        encoded=_no_file,
        source="made here",
    )
    return ConceptImages(data, images, features)


def _no_file(row: int) -> bytes:
    raise DataError(f"image {row} of the synthetic concepts is a vector: it has no picture")
