"""AVG against its definition: tokens, both losses, the search and its embeddings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval import avg
from mmjax.models.retrieval.avg.config import AVGConfig
from mmjax.models.retrieval.avg.network import AVG, END, with_codebooks
from mmjax.retriever import exclusion, index_of
from mmjax.training.sources.pairs import rows_source
from mmjax.training.state import init_state
from mmjax.training.step import run_epochs

CONFIG = AVGConfig(
    width=8, layers=1, heads=2, head_width=4, hidden=16, dropout=0.0, beams=7, rank_beams=3
)
WORDS = 12
CODES = np.array([[0, 1], [0, 2], [1, 1], [2, 0], [2, 2], [2, 2], [1, 0], [0, 0]])
BOOK = np.random.default_rng(3).normal(size=(3, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def task():
    draw = np.random.default_rng(0)
    captions = draw.integers(2, WORDS, (14, 4))
    captions[::3, 2:] = 0
    image = np.arange(14) % 7
    return QueryTask(captions, image)


GALLERY = np.array([0, 1, 2, 3, 4, 5])


def built(task, config=CONFIG, codebooks=(BOOK, BOOK), gallery=GALLERY, **options):
    vokens = avg.Vokens(CODES, codebooks)
    return avg.build(config, task, vokens, gallery, **{"vocabulary": WORDS, **options})


@pytest.fixture(scope="module")
def objective(task):
    return built(task).objective


@pytest.fixture(scope="module")
def params(objective):
    return jax.jit(objective.init)(jax.random.key(0))["params"]


@pytest.fixture(scope="module")
def batch():
    return {"row": jnp.asarray([0, 3, 5, 8]), "where": jnp.asarray([True, True, True, False])}


@pytest.fixture(scope="module")
def model():
    return AVG(CONFIG, WORDS, (3, 3))


def test_temperature_by_hand():
    one = AVG(dataclasses.replace(CONFIG, softmax="level"), 2, (3,))
    logits = jnp.asarray([[0.0, 0.0, 2.0, 1.0, 0.0], [0.0] * 5])
    for temperature, loss in ((1.0, 0.40761), (0.5, 0.14293)):
        gains = one.log_probabilities(logits, jnp.asarray([0]), temperature)
        assert_allclose(-gains, [loss, 0.0], atol=1e-5)


def test_tokens_of_levels_that_share_them_and_that_do_not(model):
    assert model.tokens == WORDS + 3
    assert_array_equal(model.targets(jnp.asarray([[1, 2]])), [[WORDS + 1, WORDS + 2, END]])
    own = AVG(dataclasses.replace(CONFIG, shared=False), WORDS, (3, 2))
    assert own.tokens == WORDS + 5
    assert_array_equal(own.targets(jnp.asarray([[1, 1]])), [[WORDS + 1, WORDS + 4, END]])


def test_vokens_start_as_the_codes_and_nothing_else_does(model, params):
    table = params["t5"]["embedding"]["embedding"]
    assert_array_equal(table[WORDS:], BOOK)
    after = with_codebooks(model, params, [jnp.asarray(BOOK) + 1] * 2)
    assert_array_equal(after["t5"]["embedding"]["embedding"][:WORDS], table[:WORDS])
    with pytest.raises(ValueError, match="latent = 8"):
        with_codebooks(model, params, [jnp.zeros((3, 6))] * 2)


def test_the_generative_loss_by_definition(objective, model, params, batch, task):
    loss, aux = jax.jit(objective.loss)(params, {}, batch, jax.random.key(1))
    rows = np.asarray(batch["row"])[:3]
    own = jnp.asarray(CODES[task.candidate[rows]])
    text = jnp.asarray(task.queries[rows])
    logits = jax.jit(model.apply)({"params": params}, text, own[:, None])
    log_p = jax.nn.log_softmax(logits[:, 0] / 0.5, axis=-1)
    expected = 0.0
    for row, codes in enumerate(np.asarray(own)):
        tokens = [*(WORDS + codes), END]
        expected -= sum(float(log_p[row, n, token]) for n, token in enumerate(tokens))
    assert_allclose(loss, expected / 9, rtol=1e-5)
    assert_allclose(aux.metrics["cross_entropy"], loss)


@pytest.mark.parametrize("softmax", ["vocabulary", pytest.param("level", marks=pytest.mark.slow)])
def test_the_search_is_an_exhaustive_ranking(softmax, task, params):
    config = dataclasses.replace(CONFIG, softmax=softmax)
    retriever, captions = built(task, config).retriever, jnp.asarray(task.queries[:5])
    trie = avg.gallery_trie(CODES, (3, 3), GALLERY)
    one = AVG(config, WORDS, (3, 3))
    beams = jax.jit(avg.search_many, static_argnums=0)(one, params, trie, captions)
    live = np.asarray(beams.leaves) >= 0
    assert_array_equal(live.sum(1), 5)  # the gallery has five different codes
    codes = np.asarray(beams.tokens)[:, :5, :2]
    assert all(len({tuple(c) for c in row}) == 5 for row in codes)
    assert (np.diff(np.asarray(beams.scores)[:, :5]) <= 0).all()
    six = jnp.tile(jnp.asarray(CODES[:6])[None], (5, 1, 1))
    score = jax.jit(functools.partial(avg.score_images, one))
    scores = np.asarray(score(params, captions, six))
    order = np.argsort(-scores, axis=1, kind="stable")
    retrieve, index = (
        jax.jit(retriever.retrieve, static_argnames="k"),
        index_of(retriever, {"params": params}),
    )
    found = retrieve(index, captions, None, k=8)
    assert_array_equal(found.ids[:, :6], order)
    assert_array_equal(found.ids[:, 6:], -1)
    less = retrieve(index, captions, exclusion(np.array([[1, order[1, 0]]])), k=5)
    assert_array_equal(less.ids[1], order[1, 1:])
    assert_array_equal(less.ids[0], order[0, :5])
    assert_allclose(found.scores[:, :6], np.take_along_axis(scores, order, 1), rtol=1e-4)


def test_the_discriminative_loss_by_definition(model, params, batch, task):
    objective = built(task, start=params).objective
    value, aux = jax.jit(objective.loss)(params, {}, batch, jax.random.key(1))
    text = jnp.asarray(task.queries)[batch["row"][:3]]
    own = jnp.asarray(CODES[task.candidate[np.asarray(batch["row"])[:3]]])
    trie = avg.gallery_trie(CODES, (3, 3), task.candidate)
    codes, where = jax.jit(functools.partial(avg.negatives, model))(params, trie, text, own)
    # Three beams, less the one that is the right code; and no right code among them.
    assert (np.asarray(where).sum(1) >= 2).all()
    assert not (np.asarray(where) & (codes == own[:, None]).all(-1)).any()
    both = jnp.concatenate([own[:, None], codes], axis=1)
    scores = jax.jit(functools.partial(avg.score_images, model))(params, text, both)
    scores = np.where(np.pad(where, ((0, 0), (1, 0)), constant_values=True), scores, -np.inf)
    ranks = np.log(np.exp(scores).sum(1)) - scores[:, 0]
    assert_allclose(aux.metrics["rank"], ranks.mean(), rtol=1e-4)
    assert_allclose(aux.metrics["cross_entropy"], -scores[:, 0].mean() / 3, rtol=1e-4)
    assert_allclose(value, aux.metrics["cross_entropy"] + 0.5 * aux.metrics["rank"], rtol=1e-6)


@pytest.mark.slow
def test_both_stages_learn(task, objective):
    source = rows_source(14, 7)
    run = jax.jit(functools.partial(run_epochs, n_epochs=40), static_argnames="optimiser")
    optimiser = optax.adam(1e-2)
    state = init_state(objective, optimiser, jax.random.key(0))
    state, metrics = run(objective, optimiser=optimiser, source=source, state=state)
    assert metrics["loss"][-1].mean() < 0.5 * metrics["loss"][0].mean()
    ranking = built(task, start=state.params).objective
    state = init_state(ranking, optimiser, jax.random.key(0))
    state, metrics = run(ranking, optimiser=optimiser, source=source, state=state)
    assert metrics["rank"][-1].mean() < metrics["rank"][0].mean()
    assert metrics["first"][-1].mean() > 0.7


def test_bad_input(task):
    with pytest.raises(ValueError, match="image 8 is out of range"):
        built(task._replace(candidate=task.candidate + 2))
    for change, match in (
        ({"vocabulary": 5}, "token .* out of range"),
        ({"gallery": GALLERY[:0]}, "gallery of 0"),
        ({"codebooks": [BOOK[:, :6]] * 2}, "codes of width 6"),
    ):
        with pytest.raises(ValueError, match=match):
            built(task, **change)


@pytest.mark.parametrize("by", ["residual_kmeans", "random"])
@pytest.mark.parametrize("width", [4, 6])
def test_vokens_without_texts(by, width):
    images = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    vokens = avg.unaligned_vokens(images, (3, 5), by=by, width=width, seed=1)
    assert vokens.codes.shape == (30, 2) and vokens.sizes == (3, 5) and vokens.decoded is None
    assert [book.shape[1] for book in vokens.codebooks] == [width, width]
    stand_for = sum(np.asarray(b)[c] for b, c in zip(vokens.codebooks, vokens.codes.T, strict=True))
    if by == "residual_kmeans" and width == 4:
        assert np.square(images - stand_for).mean() < 0.5 * np.square(images).mean()
    again = avg.unaligned_vokens(images, (3, 5), by=by, width=width, seed=1)
    assert_array_equal(again.codes, vokens.codes)
    other = avg.unaligned_vokens(images, (3, 5), by=by, width=width, seed=2)
    assert (other.codes != vokens.codes).any() or by == "residual_kmeans"
