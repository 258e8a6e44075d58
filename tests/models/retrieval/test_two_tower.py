"""Two towers: the loss by definition, unit vectors, words, and the page of pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.data.core.words import END, UNKNOWN, Words
from mmjax.encoders.image_text.clip import ClipConfig, ClipTextConfig, ClipVisionConfig
from mmjax.models.retrieval import two_tower
from mmjax.viz.gallery import GalleryImage, gallery

SAME = {"width": 8, "layers": 1, "heads": 2, "hidden": 16, "projection": 6}


@pytest.fixture(scope="module")
def words():
    return Words.of(["a red heart", "the red, RED car", "a dog's heart"])


@pytest.fixture(scope="module")
def config(words):
    text = ClipTextConfig(vocabulary=words.size, positions=5, end_id=END, pad_id=0, **SAME)
    return ClipConfig(text, ClipVisionConfig(image=(8, 8), patch=(4, 4), **SAME))


@pytest.fixture(scope="module")
def pairs(words):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    texts = words.encode(["red heart", "the car", "a dog's heart", "a car"], 5)
    return two_tower.Pairs(pixels, texts, np.array([0, 1, 2, 1]), texts[:2])


def test_words(words):
    assert words.known == ("red", "a", "heart", "car", "dog's", "the")
    assert_array_equal(
        words.encode(["Red blue heart!", "a a a a a a"], 5),
        [[3, UNKNOWN, 5, END, 0], [4, 4, 4, 4, END]],
    )
    assert Words.of(["a b", "a"], min_count=2).known == ("a",)


def test_loss_is_symmetric_cross_entropy_of_cosines(config, pairs):
    objective = two_tower.build(config, pairs)
    params = jax.jit(objective.init)(jax.random.key(0))["params"]
    batch = {"row": jnp.asarray([0, 1, 2, 3]), "where": jnp.asarray([True, True, True, False])}
    loss, aux = jax.jit(objective.loss)(params, {}, batch, jax.random.key(0))
    found = jax.jit(objective.predict)(params, {}, jax.random.key(0))
    assert_allclose(jnp.linalg.norm(found.images, axis=1), 1, rtol=1e-5)
    more = two_tower.build(config, pairs._replace(asked=pairs.texts[:3]))
    texts = jax.jit(more.predict)(params, {}, jax.random.key(0)).texts
    assert_allclose(texts[:2], found.texts, atol=1e-6)
    logits = np.exp(2.6592) * np.asarray(found.images) @ np.asarray(texts).T
    rows = [np.log(np.exp(x).sum(1)) - np.diag(x) for x in (logits, logits.T)]
    assert_allclose(loss, np.mean(rows), rtol=1e-4)
    assert_allclose(aux.metrics["factor"], np.exp(2.6592), rtol=1e-5)


def test_bad_input(config, pairs):
    with pytest.raises(ValueError, match="image 4 is out of range"):
        two_tower.build(config, pairs._replace(image=pairs.image + 2))
    with pytest.raises(ValueError, match="one projection"):
        two_tower.build(ClipConfig(config.text, ClipVisionConfig()), pairs)


def test_a_page_of_pictures():
    page = gallery(
        "red <heart>", [("AVG", "best first", [GalleryImage(b"\x89PNG..", 'a "b"', "-1")])]
    )
    assert "<h1>red &lt;heart&gt;</h1>" in page and "data:image/png;base64," in page
    assert 'alt="a &quot;b&quot;"' in page
    with pytest.raises(ValueError, match="no known kind"):
        gallery("x", [("", "", [GalleryImage(b"text", "t")])])
