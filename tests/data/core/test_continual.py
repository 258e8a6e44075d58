"""Corpora that arrive in sessions."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmjax.data.core.checks import DataError
from mmjax.data.core.continual import (
    first_of_each,
    hashed_words,
    in_sessions,
    sessions_of_arrival,
    sessions_of_groups,
    validate_corpus,
    windows_of,
)
from mmjax.data.synthetic.documents import topic_documents

SMALL = {"n_topics": 6, "per_topic": 3, "first": 2, "new": 2, "queries": (3, 1, 2)}


def test_documents_are_in_the_order_of_their_arrival():
    asked = [(n, part, f"{part} {n}") for n in range(4) for part in ("train", "valid", "test")]
    corpus = in_sessions("x", "s", np.array([1, 0, 1, 0]), list("abcd"), asked, "")
    assert corpus.titles == ("b", "d", "a", "c")
    assert [corpus.rows(n) for n in range(2)] == [(0, 2), (2, 4)]
    found = corpus.queries_of(1, "test")
    assert [corpus.queries[n] for n in found] == ["test 0", "test 2"]
    assert_array_equal(corpus.document[found], [2, 3])
    # Every test query asks for the document that it was given with.
    for n, text in enumerate(corpus.queries):
        assert corpus.titles[corpus.document[n]] == "abcd"[int(text[-1])]


def test_synthetic_topics_share_words():
    corpus = topic_documents(1, **SMALL)
    assert [corpus.rows(n) for n in range(3)] == [(0, 6), (6, 12), (12, 18)]
    assert len(corpus.queries_of(0, "train")) == 18 and len(corpus.queries_of(2, "test")) == 12
    assert all(len(text.split()) == 8 for text in corpus.queries)
    assert corpus.digest == topic_documents(1, **SMALL).digest
    assert corpus.digest != topic_documents(2, **SMALL).digest
    bags = [set(corpus.queries[n].split()) for n in corpus.queries_of(0, "train")]
    same, other = (
        np.mean([len(bags[0] & bags[n]) for n in r]) for r in (range(1, 9), range(9, 18))
    )
    assert same > other + 0.5
    with pytest.raises(ValueError, match="must divide"):
        topic_documents(n_topics=6, first=3, new=2)


def test_sessions_keep_groups_whole_or_follow_time():
    group = np.arange(50) // 5
    session = sessions_of_groups(group, new=3, share=0.6, seed=0)
    assert all(len(np.unique(session[group == g])) == 1 for g in range(10))
    assert_array_equal(np.bincount(session)[0], 30)
    assert set(session) == {0, 1, 2, 3}
    assert_array_equal(np.bincount(sessions_of_arrival(20, new=3, share=0.7)), [14, 2, 2, 2])
    assert (np.diff(sessions_of_arrival(20, new=3, share=0.7)) >= 0).all()
    with pytest.raises(ValueError, match="2 groups cannot fill 4"):
        sessions_of_groups(np.arange(2), new=3, share=0.5, seed=0)


def test_words_become_tokens():
    ids = hashed_words(["The cat, the dog", "", "a b c d e f"], 50, 5)
    assert ids.shape == (3, 5) and ids.dtype == np.int32
    assert ids[0, 1] == ids[0, 3] != ids[0, 2]
    assert_array_equal(ids[1], [1, 0, 0, 0, 0])
    assert ids[2].min() > 0 and ids.max() < 50
    rng = np.random.default_rng(0)
    assert windows_of("one two three four", 9, 3, rng) == ["one two three", "two three four"]
    assert windows_of("one", 2, 3, rng) == ["one"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"session": [0, 0, 2, 2]}, "rise from 0"),
        ({"document": [0, 0, 0, 0, 0, 0, 2, 2, 2, 3, 3, 9]}, "row 11: document 9"),
        ({"part": [0, 2, 3, 2, 2, 3, 0, 2, 3, 0, 2, 3]}, "document 1 has no query"),
        ({"part": [0, 2, 3, 0, 2, 3, 0, 0, 3, 0, 0, 3]}, "session 1 has no valid"),
    ],
)
def test_bad_corpora_are_refused(change, message):
    asked = [(n, part, f"{part} {n}") for n in range(4) for part in ("train", "valid", "test")]
    corpus = in_sessions("x", "s", np.array([0, 0, 1, 1]), list("abcd"), asked, "")
    with pytest.raises(DataError, match=message):
        validate_corpus(dataclasses.replace(corpus, **{k: np.array(v) for k, v in change.items()}))


def test_the_first_queries_of_each_document_in_order_of_documents():
    document = np.array([2, 0, 2, 0, 2, 1])
    assert_array_equal(first_of_each(document, 2), [1, 3, 5, 0, 2])
    assert_array_equal(first_of_each(document, 1), [1, 5, 0])
    assert len(first_of_each(document[:0], 3)) == 0
