"""The relation term of attention: its sums one by one, sets as inputs, and its gates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mmjax.blocks.attention.attention import attend
from mmjax.blocks.attention.relational import (
    Gate,
    Gates,
    Relation,
    gate,
    relation_attention,
    relation_terms,
)

ATTENTION = jax.jit(relation_attention)


def _draw(seed, *shapes):
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]


def _problem(seed, batch=2, tokens=5, width=6, heads=3, d=4):
    x, *relation = _draw(seed, (batch, tokens, width), *[(width, d)] * 3)
    gates = Gates(*_draw(seed + 1, (batch,), (batch,), (batch,)))
    qkv = _draw(seed + 2, *[(batch, tokens, heads, d)] * 3)
    return x, gates, Relation(*relation), qkv


def test_gate_by_hand():
    weights = Gate(jnp.array([[1.0, -1.0], [2.0, 0.5]]), jnp.array([3.0, 10.0]))
    # Hidden (1 + 2, -1 + 0.5) = (3, -0.5), so 9; then (-1 + 2, 1 + 0.5) = (1, 1.5), so 18.
    assert_allclose(gate(jnp.array([[1.0, 1.0], [-1.0, 1.0]]), weights), [9.0, 18.0])


@settings(max_examples=5)
@given(st.integers(0, 99))
def test_is_the_sum_of_its_parts(seed):
    x, gates, relation, (q, k, v) = _problem(seed)
    got = ATTENTION(q, k, v, relation_terms(x, gates, relation))
    x, q, k, v = (np.asarray(a, np.float64) for a in (x, q, k, v))
    ours = [np.asarray(w) for w in relation]
    for b in range(2):
        g_q, g_k, g_v = (float(g[b]) for g in gates)
        u_q, u_k, u_v = (x[b] @ w for w in ours)
        for h in range(3):
            score = q[b, :, h] @ k[b, :, h].T + g_q * g_k * u_q @ u_k.T
            p = np.exp(score / 2 - (score / 2).max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            want = p @ (v[b, :, h] + g_v * u_v)
            assert_allclose(got[b, :, h], want, atol=2e-5)


def test_tokens_are_a_set():
    x, gates, relation, qkv = _problem(3)
    order = np.array([4, 0, 3, 1, 2])
    plain = ATTENTION(*qkv, relation_terms(x, gates, relation))
    moved = ATTENTION(*(a[:, order] for a in qkv), relation_terms(x[:, order], gates, relation))
    assert_allclose(moved, plain[:, order], atol=1e-5)


def test_padding_changes_nothing():
    x, gates, relation, qkv = _problem(4)
    plain = ATTENTION(*qkv, relation_terms(x, gates, relation))

    def longer(a):
        return jnp.pad(a, ((0, 0), (0, 3), *[(0, 0)] * (a.ndim - 2)), constant_values=9.0)

    where = jnp.arange(8)[None] < jnp.full((2, 1), 5)
    terms = relation_terms(longer(x), gates, relation)
    assert_allclose(ATTENTION(*map(longer, qkv), terms, where=where)[:, :5], plain, atol=1e-5)


def test_closed_gates_leave_plain_attention():
    x, gates, relation, qkv = _problem(5)
    closed = jax.tree.map(jnp.zeros_like, gates)
    got = ATTENTION(*qkv, relation_terms(x, closed, relation))
    assert_allclose(got, attend(*qkv, scale=0.5), atol=1e-6)


@pytest.mark.parametrize("name", ["query", "key"])
def test_one_closed_gate_closes_the_logits(name):
    x, gates, relation, _ = _problem(6)
    terms = relation_terms(x, gates._replace(**{name: jnp.zeros(2)}), relation)
    assert not terms.bias.any() and terms.values.any()


def test_gradients_reach_gates_and_projections():
    x, gates, relation, qkv = _problem(7)

    def loss(gates, relation):
        return jnp.square(relation_attention(*qkv, relation_terms(x, gates, relation))).sum()

    grads = jax.jit(jax.grad(loss, argnums=(0, 1)))(gates, relation)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))
