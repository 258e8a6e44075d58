"""Two towers: the loss by definition, unit vectors, words, and the page of pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.data.core.words import END, UNKNOWN, Words
from mmjax.encoders.image_text.clip import ClipConfig, ClipTextConfig, ClipVisionConfig
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval import two_tower
from mmjax.retriever import exclusion, index_of
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
    return QueryTask(texts, np.array([0, 1, 2, 1])), pixels


def test_words(words):
    assert words.known == ("red", "a", "heart", "car", "dog's", "the")
    assert_array_equal(
        words.encode(["Red blue heart!", "a a a a a a"], 5),
        [[3, UNKNOWN, 5, END, 0], [4, 4, 4, 4, END]],
    )
    assert Words.of(["a b", "a"], min_count=2).known == ("a",)


def test_loss_is_symmetric_cross_entropy_of_cosines(config, pairs):
    model = two_tower.build(config, *pairs)
    params = jax.jit(model.objective.init)(jax.random.key(0))["params"]
    batch = {"row": jnp.asarray([0, 1, 2, 3]), "where": jnp.asarray([True, True, True, False])}
    loss, aux = jax.jit(model.objective.loss)(params, {}, batch, jax.random.key(0))
    _, images = index = index_of(model.retriever, {"params": params})
    assert_allclose(jnp.linalg.norm(images, axis=1), 1, rtol=1e-5)
    texts = two_tower.embed_texts(config, params, jnp.asarray(pairs[0].queries[:3]))
    cosines = np.asarray(texts @ images.T)
    found = model.retriever.retrieve(index, jnp.asarray(pairs[0].queries[:2]), None, k=3)
    assert_array_equal(found.ids, np.argsort(-cosines[:2], axis=1, kind="stable"))
    best = exclusion(np.array([[1, int(found.ids[1, 0])]]))
    rest = model.retriever.retrieve(index, jnp.asarray(pairs[0].queries[:2]), best, k=2)
    assert_array_equal(rest.ids, [found.ids[0, :2], found.ids[1, 1:]])
    logits = np.exp(2.6592) * cosines.T
    rows = [np.log(np.exp(x).sum(1)) - np.diag(x) for x in (logits, logits.T)]
    assert_allclose(loss, np.mean(rows), rtol=1e-4)
    assert_allclose(aux.metrics["factor"], np.exp(2.6592), rtol=1e-5)


def test_bad_input(config, pairs):
    task, pixels = pairs
    with pytest.raises(ValueError, match="image 4 is out of range"):
        two_tower.build(config, task._replace(candidate=task.candidate + 2), pixels)
    with pytest.raises(ValueError, match="one projection"):
        two_tower.build(ClipConfig(config.text, ClipVisionConfig()), task, pixels)


def test_a_page_of_pictures():
    page = gallery(
        "red <heart>", [("AVG", "best first", [GalleryImage(b"\x89PNG..", 'a "b"', "-1")])]
    )
    assert "<h1>red &lt;heart&gt;</h1>" in page and "data:image/png;base64," in page
    assert 'alt="a &quot;b&quot;"' in page
    with pytest.raises(ValueError, match="no known kind"):
        gallery("x", [("", "", [GalleryImage(b"text", "t")])])
