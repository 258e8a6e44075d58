"""Measures beyond accuracy: hand-worked numbers, limits, and groups that add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.evaluation import beyond, ranking
from mmjax.retriever import Vectors, given_vectors


def test_exposure_coverage_and_gini_by_hand():
    ids = jnp.array([[0, 1], [0, 2], [0, -1]])
    assert_array_equal(beyond.exposure(ids, 5), [3, 1, 1, 0, 0])
    assert_allclose(beyond.coverage(ids, 5), 3 / 5)
    # Ascending 0 0 1 1 3 weighed by -4 -2 0 2 4: 14 over 5 * 5.
    assert_allclose(beyond.gini(ids, 5), 14 / 25, rtol=1e-6)


def test_gini_has_its_limits():
    assert_allclose(beyond.gini(jnp.arange(12).reshape(3, 4), 12), 0.0, atol=1e-6)
    assert_allclose(beyond.gini(jnp.zeros((9, 1), jnp.int32), 12), 11 / 12, rtol=1e-6)


def test_novelty_is_the_self_information():
    ids = jnp.array([[0, 1], [2, -1], [-1, -1]])
    found = beyond.novelty(ids, jnp.array([8, 2, 0]), 8)
    assert_allclose(found, [(0 + 2) / 2, 3, 0], atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
def test_diversity_is_the_mean_over_pairs(seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(9, 4)).astype(np.float32)
    ids = np.argsort(rng.random((6, 9)), axis=1)[:, :5]
    ids[np.arange(6), rng.integers(0, 5, 6)] = -1
    found = beyond.intra_list_diversity(jnp.asarray(ids), jnp.asarray(features))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for row, value in zip(ids, found, strict=True):
        own = [i for i in row if i >= 0]
        pairs = [1 - unit[a] @ unit[b] for a in own for b in own if a != b]
        assert_allclose(value, np.mean(pairs), atol=1e-5)


def test_diversity_of_equal_items_and_of_one():
    features = jnp.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    found = beyond.intra_list_diversity(jnp.array([[0, 1], [0, 2], [2, -1]]), features)
    assert_allclose(found, [0, 1, 0], atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
def test_auc_counts_the_pairs_in_order(seed):
    rng = np.random.default_rng(seed)
    n_users, n_items = 5, 8
    users, items = rng.normal(size=(n_users, 3)), rng.normal(size=(n_items, 3))
    held_out = np.array([[u, i] for u in range(n_users) for i in rng.permutation(n_items)[:2]])
    seen = np.array([[u, i] for u in range(n_users) for i in rng.permutation(n_items)[:1]])
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    vectors = Vectors(*(jnp.asarray(x, jnp.float32) for x in (users, items)))
    ids = ranking.rank(given_vectors(n_items), vectors, task, k=n_items).ids
    wanted = [set(held_out[held_out[:, 0] == u, 1].tolist()) for u in range(n_users)]
    hits = np.array([[i in wanted[u] for i in ids[u].tolist()] for u in range(n_users)])
    found = beyond.auc(jnp.asarray(hits), ids >= 0)
    scores = users @ items.T
    for u in range(n_users):
        out = {int(i) for v, i in seen if v == u}
        good = [i for i in wanted[u] if i not in out]
        bad = [i for i in range(n_items) if i not in out and i not in wanted[u]]
        share = np.mean([scores[u, a] > scores[u, b] for a in good for b in bad])
        assert_allclose(found[u], share, atol=1e-6)


def test_groups_of_users_add_up():
    train = np.array([[0, 0], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2], [2, 3]])
    group, names = beyond.activity_groups(train, 4, (1, 3))
    assert names == ("0-0", "1-2", "3+")
    assert_array_equal(group, [1, 1, 2, 0])
    held_out = np.array([[0, 1], [1, 2], [2, 4], [3, 0]])
    task = ranking.ranking_task(held_out, train, 4, 5)
    users, items = jax.random.normal(jax.random.key(0), (4, 2)), jnp.ones((5, 2))
    result = ranking.evaluate(given_vectors(5), Vectors(users, items), task, ks=(2,))
    found = beyond.by_group(result, group[np.asarray(task.users)], names)
    assert set(found) == set(names)
    sizes = {"0-0": 1, "1-2": 2, "3+": 1}
    total = sum(sizes[n] * found[n]["recall@2"] for n in names) / 4
    assert_allclose(total, ranking.summarise(result)["recall@2"])
    with pytest.raises(ValueError, match="ascending numbers"):
        beyond.activity_groups(train, 4, (3, 1))


def test_warm_and_cold_items_share_the_pairs():
    train, held_out = np.array([[0, 0], [1, 2]]), np.array([[0, 1], [0, 2], [1, 0], [1, 3]])
    parts = beyond.warm_and_cold(held_out, train, 4)
    assert_array_equal(parts["warm"], [[0, 2], [1, 0]])
    assert_array_equal(parts["cold"], [[0, 1], [1, 3]])
