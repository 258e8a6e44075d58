"""Pools of prompts: selection by cosine, layouts, components, usage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.attention import prompt_pool as pools

KEYS = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])


def test_worked_selection():
    query = jnp.array([[0.6, 0.8]])
    assert_allclose(pools.cosines(query, KEYS)[0], [0.6, 0.8, -0.6], atol=1e-6)
    chosen = pools.choose(query, KEYS, 2)
    assert_array_equal(chosen.index, [[1, 0]])
    assert_allclose(chosen.similarity, [[0.8, 0.6]], atol=1e-6)
    first = pools.choose(query, KEYS, 1, where=jnp.array([True, False, True]))
    assert_array_equal(first.index, [[0]])
    with pytest.raises(ValueError, match="k = 4"):
        pools.choose(query, KEYS, 4)


def test_selection_knows_directions_only_and_each_input_by_itself():
    query = jax.random.normal(jax.random.key(0), (7, 5))
    keys = jax.random.normal(jax.random.key(1), (6, 5))
    chosen = pools.choose(query, keys, 3)
    scale = jnp.arange(1.0, 8.0)[:, None]
    assert_array_equal(pools.choose(scale * query, 9.0 * keys, 3).index, chosen.index)
    assert_array_equal(pools.choose(query[2:3], keys, 3).index, chosen.index[2:3])
    everything = pools.choose(query, keys, 6).index
    assert_array_equal(jnp.sort(everything, 1), jnp.tile(jnp.arange(6), (7, 1)))


def test_gathered_prefixes_are_the_inputs_own():
    pool = jax.random.normal(jax.random.key(2), (2, 2, 5, 3, 2, 4))
    index = jnp.array([[1, 4], [0, 1], [3, 3]])
    found = pools.gather(pool, index)
    assert found.shape == (2, 2, 3, 6, 2, 4)
    for b in range(3):
        own = jnp.concatenate([pool[:, :, m] for m in index[b]], axis=2)
        assert_array_equal(found[:, :, b], own)


def test_the_official_layout_mixes_inputs_and_keys_with_values():
    pool = jnp.stack([10.0 + jnp.arange(4), 20.0 + jnp.arange(4)]).reshape(1, 2, 4, 1, 1, 1)
    index = jnp.arange(4)[:, None]

    def pairs(found):
        return found.reshape(2, 4).T.tolist()

    assert pairs(pools.gather(pool, index)) == [[10, 20], [11, 21], [12, 22], [13, 23]]
    scrambled = pools.gather(pool, index, official=True)
    assert pairs(scrambled) == [[10, 11], [12, 13], [20, 21], [22, 23]]
    alone = pools.gather(pool, index[:1], official=True)
    assert alone.reshape(2).tolist() == [10, 20]


def test_worked_components_and_their_mixture():
    a = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    weights = pools.coda_weights(jnp.array([[3.0, 4.0]]), a, a)
    assert_allclose(weights, [[1.0, 0.989949]], atol=1e-5)
    pool = jax.random.normal(jax.random.key(3), (1, 2, 2, 3, 1, 2))
    want = weights[0, 0] * pool[:, :, 0] + weights[0, 1] * pool[:, :, 1]
    assert_allclose(pools.mix(pool, weights)[:, :, 0], want, atol=1e-6)


def test_pull_ends_where_keys_are_the_queries():
    query = jax.random.normal(jax.random.key(4), (4, 3))
    same = pools.choose(query[:1], jnp.tile(2.0 * query[:1], (3, 1)), 3)
    assert_allclose(pools.pull(same.similarity), [-3.0], atol=1e-5)

    def loss(keys):
        return pools.pull(pools.choose(query, keys, 1).similarity).mean()

    keys = jax.random.normal(jax.random.key(5), (6, 3))
    slope = jax.grad(loss)(keys)
    used = np.unique(pools.choose(query, keys, 1).index)
    unused = np.setdiff1d(np.arange(6), used)
    assert_array_equal(slope[unused], 0.0)
    assert loss(keys - 0.1 * slope) < loss(keys)


def test_usage_and_orthogonality():
    even = pools.usage(jnp.array([[0, 1], [2, 3]]), 8)
    assert even.share == 0.5 and even.largest == 0.25
    assert_allclose(even.effective, 4.0, rtol=1e-5)
    one = pools.usage(jnp.zeros((5, 1), jnp.int32), 8)
    assert_allclose([one.share, one.effective, one.largest], [0.125, 1.0, 1.0])
    assert pools.orthogonality(jnp.eye(3)) == 0
