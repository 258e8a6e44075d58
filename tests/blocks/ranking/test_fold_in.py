"""Vectors of new users."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mmjax.blocks.ranking.fold_in import fold_in

FOLD = jax.jit(fold_in, static_argnames=("ridge", "unobserved"))


def test_by_hand():
    """Items e1, e2, e1 + e2; a history of the first: (w V'V + (1 - w) e1 e1' + I)^-1 e1."""
    v = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    history, where = jnp.array([[0, 0]]), jnp.array([[True, False]])
    # w = 0: (e1 e1' + I)^-1 e1 = e1 / 2.
    assert_allclose(FOLD(v, history, where, ridge=1.0, unobserved=0.0), [[0.5, 0]], atol=1e-6)
    # w = 1: [[2 + 1, 1], [1, 2 + 1]]^-1 e1 = (3, -1) / 8.
    got = FOLD(v, history, where, ridge=1.0, unobserved=1.0)
    assert_allclose(got, [[0.375, -0.125]], atol=1e-6)


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=10, deadline=None)
def test_items_of_a_history_rank_first_and_padding_is_nothing(seed):
    draw = np.random.default_rng(seed)
    v = jnp.asarray(draw.normal(size=(12, 16)), jnp.float32)
    own = draw.permutation(12)[:3]
    history = jnp.asarray([[*own, 0, 5]])
    where = jnp.array([[True, True, True, False, False]])
    taste = FOLD(v, history, where, ridge=0.1)
    scores = np.asarray(v @ taste[0])
    assert set(np.argsort(-scores)[:3].tolist()) == set(own.tolist())
    other = FOLD(v, history.at[:, 3:].set(7), where, ridge=0.1)
    assert_allclose(other, taste, rtol=1e-6)
    assert_allclose(FOLD(v, history, where, ridge=1e12), jnp.zeros((1, 16)), atol=1e-6)


def test_no_history_is_zero_and_bad_weights_are_refused():
    v = jnp.eye(3)
    nothing = fold_in(v, jnp.zeros((1, 2), int), jnp.zeros((1, 2), bool))
    assert_allclose(nothing, np.zeros((1, 3)), atol=0)
    for options in ({"ridge": 0.0}, {"unobserved": 2.0}):
        with pytest.raises(ValueError, match="fold_in"):
            fold_in(v, jnp.zeros((1, 1), int), jnp.ones((1, 1), bool), **options)
