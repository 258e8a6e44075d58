"""Recall of searches of a gallery, worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mmjax.blocks.decoding.tries import build_trie
from mmjax.evaluation.gallery import (
    code_recall,
    collision_rate,
    gold_task,
    hits_and_mrr,
    vector_recall,
)
from mmjax.retriever import Retriever, Vectors, given_vectors, index_of, numbered


def test_recall_of_vectors_by_hand():
    images = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [9.0, 9.0]], np.float32)
    texts = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]], np.float32)
    gallery = np.array([0, 1, 2])  # the last image is of another split
    found = vector_recall(texts, images, np.array([0, 2, 1]), gallery, (1, 2, 3))
    # Ranks 1 and 2; the third text is as near to 0 as to its own image: 3.
    np.testing.assert_allclose([found[f"recall@{k}"] for k in (1, 2, 3)], [1 / 3, 2 / 3, 1])
    codes = np.array([[0, 0], [0, 0], [1, 0], [0, 0]])
    assert collision_rate(codes, gallery) == pytest.approx(1 / 3)


def test_recall_of_codes_by_hand():
    codes = np.array([[0, 0], [0, 0], [1, 0], [1, 1]], np.int32)
    trie = build_trie(codes, (2, 2))  # leaves: 0 (items 0 and 1), 1 (item 2), 2 (item 3)
    leaves = jnp.array([[0, 1], [1, 0], [2, -1]])
    found = code_recall(trie, leaves, np.array([1, 0, 2]), (1, 2))
    # The first shares rank 1 with its mate; the second ranks 2 and 3; the third is not found.
    assert found == pytest.approx(
        {"recall@1": 0.5 / 3, "recall_code@1": 1 / 3, "recall@2": 1.5 / 3, "recall_code@2": 2 / 3}
    )


def test_hits_and_reciprocal_ranks_by_hand():
    ids = jnp.array([[3, 1, 2], [0, 5, 4], [7, 8, -1]])
    task = gold_task(np.array([3, 4, 6]), 9)
    got = hits_and_mrr(task, ids, ks=(1, 3))
    want = {"hits@1": 1 / 3, "hits@3": 2 / 3, "mrr@1": 1 / 3, "mrr@3": 4 / 9}
    assert got == pytest.approx(want)
    # The same by a retriever whose queries are given by number.
    plain = given_vectors(9)
    by_name = Retriever(plain.index, Partial(_named, plain.retrieve), 9)
    retriever = numbered(by_name, {"query": jnp.array([3, 4, 6])})
    axes = Vectors(jnp.eye(9), jnp.eye(9))
    found = retriever.retrieve(index_of(retriever, axes), jnp.array([2, 0]), None, k=3)
    assert found.ids[:, 0].tolist() == [6, 3]


def _named(retrieve, index, queries, exclude, *, k):
    return retrieve(index, queries["query"], exclude, k=k)
