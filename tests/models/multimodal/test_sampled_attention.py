"""Sampled global attention: the numbers worked by hand, and its equality with the plain form."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.gathered import pattern
from mmjax.blocks.losses.pairwise import info_bpr
from mmjax.models.multimodal.mig_gt.network import (
    QueryKey,
    memory_attention,
    sampled_attention,
    token_scores,
)

MEMORY = jnp.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
IDENTITY = QueryKey(jnp.eye(2), jnp.zeros(2), jnp.eye(2), jnp.zeros(2))


def _problem(seed, nodes=7, items=5, samples=3, width=4, attention=2):
    keys = jax.random.split(jax.random.key(seed), 7)
    weights = QueryKey(
        jax.random.normal(keys[0], (width, attention)),
        jax.random.normal(keys[1], (attention,)),
        jax.random.normal(keys[2], (width, attention)),
        jax.random.normal(keys[3], (attention,)),
    )
    h = jax.random.normal(keys[4], (nodes, width))
    table = jax.random.normal(keys[5], (items, width))
    index = jax.random.randint(keys[6], (nodes, samples), 0, items)
    return h, table, index, weights


def _memories(h, table, index):
    return jnp.concatenate([h[:, None], table[index]], axis=1)


def test_by_hand():
    expected = [[0.980222, 0.079666], [0.023208, 1.972253], [0.959889, 1.020334]]
    assert_allclose(memory_attention(MEMORY, IDENTITY), expected, atol=1e-6)


def test_zero_weights_mix_the_mean():
    zero = jax.tree.map(jnp.zeros_like, IDENTITY)
    expected = [[0.966667, 0.1], [0.066667, 1.9], [0.966667, 1.0]]
    assert_allclose(memory_attention(MEMORY, zero), expected, atol=1e-6)


def test_unsmooth_regularisation_by_hand():
    index = jnp.array([[0, 1]])
    scores = token_scores(
        jnp.array([[1.0, -1.0]]), MEMORY[:1], MEMORY[1:], pattern(index, 2), IDENTITY
    )
    assert_allclose(scores, [[0.900556, -1.949045, -0.060445]], atol=1e-6)
    assert_allclose(info_bpr(scores[:, 0], scores[:, 1:]), [0.364905], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 6, 5), (4, 1, 2)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_explicit_memories(seed, shape):
    h, table, index, weights = _problem(seed, *shape)
    u = jax.random.normal(jax.random.key(seed + 1), h.shape)

    @jax.jit
    def both(u, h, table, index, weights):
        reads = pattern(index, table.shape[0])
        final = sampled_attention(h, table, reads, weights)
        return final, token_scores(u, h, table, reads, weights)

    final, scores = both(u, h, table, index, weights)
    tokens = memory_attention(_memories(h, table, index), weights)
    assert_allclose(final, tokens[:, 0], atol=2e-5)
    assert_allclose(scores, np.einsum("nd,ntd->nt", u, tokens), atol=5e-5)


@pytest.mark.parametrize("samples", [1, 3])
def test_gradients_equal_those_of_the_explicit_memories(samples):
    h, table, index, weights = _problem(3, samples=samples)
    u = jax.random.normal(jax.random.key(9), h.shape)

    def lean(h, table, weights):
        reads = pattern(index, table.shape[0])
        out = sampled_attention(h, table, reads, weights)
        return (out**2).sum() + jnp.sin(token_scores(u, h, table, reads, weights)).sum()

    def plain(h, table, weights):
        tokens = memory_attention(_memories(h, table, index), weights)
        scores = jnp.einsum("nd,ntd->nt", u, tokens)
        return (tokens[:, 0] ** 2).sum() + jnp.sin(scores).sum()

    got = jax.jit(jax.grad(lean, argnums=(0, 1, 2)))(h, table, weights)
    want = jax.grad(plain, argnums=(0, 1, 2))(h, table, weights)
    chex.assert_trees_all_close(got, want, atol=2e-5)


def test_order_of_the_samples_does_not_matter():
    h, table, index, weights = _problem(5, samples=4)
    flipped = sampled_attention(h, table, pattern(index[:, ::-1], 5), weights)
    assert_allclose(flipped, sampled_attention(h, table, pattern(index, 5), weights), atol=1e-6)


def test_without_samples_it_is_the_identity():
    h, table, _, weights = _problem(6)
    empty = pattern(jnp.zeros((h.shape[0], 0), jnp.int32), table.shape[0])
    assert_allclose(sampled_attention(h, table, empty, weights), h, atol=1e-6)
    scores = token_scores(h, h, table, empty, weights)
    assert scores.shape == (h.shape[0], 1)
    assert_allclose(info_bpr(scores[:, 0], scores[:, 1:]), np.zeros(h.shape[0]))


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_rows_stay_near_their_token(seed):
    h, table, index, weights = _problem(seed)
    memory = _memories(h, table, index)
    out = memory_attention(memory, weights)
    distance = jnp.linalg.norm(out - 0.9 * memory, axis=-1)
    bound = 0.1 * jnp.linalg.norm(memory, axis=-1).max(axis=1, keepdims=True)
    assert bool((distance <= bound + 1e-5).all())


def test_vmaps_over_weights_and_tables():
    h, table, index, weights = _problem(2)
    stack = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), (h, table, weights))

    def loss(h, table, weights):
        return (sampled_attention(h, table, pattern(index, 5), weights) ** 2).sum()

    got = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1))))(*stack)
    one = jax.grad(loss, argnums=(0, 1))(*jax.tree.map(lambda x: x[1], stack))
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], got), one, rtol=1e-4, atol=1e-4)
