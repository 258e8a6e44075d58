"""MMGRec's inference: search through the generator against scores of all items."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.generative.mmgrec.search import (
    Readers,
    id_retriever,
    id_trie,
    invalid_share,
    recommend,
    score_items,
    write_freely,
)
from mmjax.retriever import exclusion, index_of
from tests.models.generative.mmgrec_cases import (
    HISTORY,
    ITEMS,
    KNOWN,
    LOGITS,
    N_ITEMS,
    USER,
    VARIANTS,
    inputs,
    made,
    source,
    targets,
)

READERS = Readers(USER, HISTORY)
EVERYTHING = jnp.broadcast_to(jnp.arange(N_ITEMS), (3, N_ITEMS))


def _scores(model, params):
    return np.array(score_items(model, params, inputs(), READERS, EVERYTHING))


@pytest.mark.parametrize("changes", VARIANTS)
def test_scores_are_those_of_teacher_forcing(changes):
    model, _, params = made(**changes)
    got = np.take_along_axis(_scores(model, params), np.maximum(np.asarray(ITEMS), 0), 1)
    codes = np.asarray(targets()) + len(changes)
    logits = [np.asarray(jax.nn.log_softmax(x)) for x in LOGITS(model, params, source(), targets())]
    own = [np.take_along_axis(logits[n], codes[..., n : n + 1], 2)[..., 0] for n in range(2)]
    want = own[0] + own[1]
    assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_wide_search_is_exhaustive_ranking_without_what_is_left_out(changes):
    """Row 2 has met nothing, so that everything is ranked for it."""
    model, _, params = made(**changes)
    scores = _scores(model, params)
    for row, history in enumerate(np.asarray(HISTORY)):
        scores[row, history[history >= 0]] = -np.inf
    trie, width = id_trie(model, inputs().codes), N_ITEMS
    found = recommend(model, params, inputs(), trie, READERS, HISTORY, width=width, k=N_ITEMS)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = np.take_along_axis(scores, order, 1)
    assert_array_equal(found.ids, np.where(expected > -np.inf, order, -1))
    assert_allclose(found.scores, expected, atol=1e-5)
    retriever = id_retriever(model, inputs(), KNOWN, width=width)
    pairs = [(row, item) for row, h in enumerate(np.asarray(HISTORY)) for item in h if item >= 0]
    index = index_of(retriever, {"params": params})
    again = retriever.retrieve(index, USER, exclusion(np.array(pairs)), k=N_ITEMS)
    assert_array_equal(again.ids, found.ids)


def test_a_beam_finds_one_item():
    model, _, params = made()
    trie = id_trie(model, inputs().codes)
    with pytest.raises(ValueError, match="width 3 is below k 5"):
        recommend(model, params, inputs(), trie, READERS, width=3, k=5)


@pytest.mark.parametrize("changes", VARIANTS)
def test_free_writing_is_ranking_of_all_ids(changes):
    model, _, params = made(**changes)
    trie = id_trie(model, inputs().codes)
    width = 25 if changes else 20
    found = write_freely(model, params, inputs(), trie, READERS, width=width)
    for row in range(3):
        items = np.asarray(found.ids[row])
        assert sorted(items[items >= 0].tolist()) == list(range(N_ITEMS))
    retriever = id_retriever(model, inputs(), KNOWN, width=width, official=True)
    index = index_of(retriever, {"params": params})
    first = retriever.retrieve(index, USER, exclusion(np.array([[0, 3]])), k=7)
    assert_array_equal(first.ids, found.ids[:, :7])
    live = np.isfinite(found.scores)
    assert_allclose(invalid_share(found), 1 - N_ITEMS / live.sum(1), rtol=1e-5)
    if not changes:
        assert live.all()
        assert_allclose(np.exp(found.scores).sum(1), 1, rtol=1e-4)
    items = np.asarray(found.ids)
    scored = np.take_along_axis(_scores(model, params), np.maximum(items, 0), 1)
    assert_allclose(np.asarray(found.scores)[items >= 0], scored[items >= 0], atol=1e-4)
