"""Synthetic concepts with captions: what they promise."""

import numpy as np
import pytest

from mmjax.data import DataError
from mmjax.data.core.captioned import CAPTION, PSEUDO
from mmjax.data.synthetic.captions import concept_images

SMALL = {"counts": (40, 10, 10), "concepts": 12, "width": 16, "vocabulary": 50}


def test_counts_lengths_and_draws():
    data, images, texts = concept_images(3, **SMALL)
    assert [len(data.images_of(s)) for s in ("train", "valid", "test")] == [40, 10, 10]
    assert len(data.text) == 60 * 5 + 20 * 5
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, rtol=1e-5)
    assert np.array_equal(concept_images(3, **SMALL).texts, texts)
    assert not np.array_equal(concept_images(4, **SMALL).texts, texts)


def test_held_out_images_are_trained_on_by_pseudo_queries_alone():
    data = concept_images(**SMALL).data
    trained = data.training_texts()
    held = data.split[data.image[trained]] > 0
    assert (data.kind[trained][held] == PSEUDO).all()
    assert (data.kind[trained][~held] == CAPTION).all()
    assert np.bincount(data.image[trained][held], minlength=60)[40:].tolist() == [5] * 20


def test_texts_are_nearer_to_their_own_image_than_to_others():
    data, images, texts = concept_images(gap=0.0, noise=(0.5, 0.0), **SMALL)
    # Without noise and gap a text's feature is its image's.
    np.testing.assert_allclose(texts, images[data.image], atol=1e-6)
    moved = concept_images(gap=0.5, noise=(0.5, 0.2), **SMALL)
    scores = moved.texts @ moved.images.T
    own = scores[np.arange(len(scores)), moved.data.image]
    assert (own > np.median(scores, 1)).mean() > 0.95


def test_a_text_says_words_of_its_concept():
    data = concept_images(words=(6, 6), **SMALL).data
    said = {}
    for image, text in zip(data.image, data.text, strict=True):
        said.setdefault(int(image), set()).add(frozenset(text.split()))
    assert all(len(bags) == 1 for bags in said.values())


def test_bad_words_and_missing_pictures_are_named():
    with pytest.raises(ValueError, match="5 of 4 words of 50"):
        concept_images(words=(4, 5), **SMALL)
    data = concept_images(**SMALL).data
    with pytest.raises(DataError, match="no picture"):
        data.picture(0)
