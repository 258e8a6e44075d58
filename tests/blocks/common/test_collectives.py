"""Sums and rows across eight mapped devices equal those of one."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.common.collectives import gather, global_mean, global_sum, over_devices

ROWS = jnp.arange(16.0).reshape(16, 1) + jnp.array([[0.0, 0.5]])
WHERE = jnp.arange(16) % 3 > 0


def _mapped(f, *rows):
    shards = [x.reshape(8, -1, *x.shape[1:]) for x in rows]
    return jax.pmap(partial(f, axis="data"), axis_name="data")(*shards)


def test_gather():
    assert gather(ROWS, None) is ROWS
    got = _mapped(gather, ROWS)
    assert_array_equal(got, jnp.broadcast_to(ROWS, got.shape))


def test_a_tree_is_summed_entry_by_entry():
    tree = {"a": ROWS, "b": jnp.ones(16)}
    assert over_devices(tree, None) is tree
    got = _mapped(lambda x, axis: over_devices({"a": x, "b": jnp.ones(())}, axis), ROWS)
    assert_allclose(got["a"], jnp.broadcast_to(ROWS.reshape(8, 2, 2).sum(0), (8, 2, 2)))
    assert_allclose(got["b"], jnp.full(8, 8.0))


def test_global_mean_divides_by_the_rows_that_count():
    expected = ROWS[WHERE].sum() / WHERE.sum()
    assert_allclose(global_mean(ROWS, None, where=WHERE), expected)
    got = _mapped(lambda x, w, axis: global_mean(x, axis, where=w), ROWS, WHERE)
    assert_allclose(got, jnp.full(8, expected))
    assert global_mean(ROWS, None, where=jnp.zeros(16, bool)) == 0


def test_global_sum_counts_only_the_rows_asked_for():
    expected = ROWS[WHERE].sum()
    assert_allclose(global_sum(ROWS, None, where=WHERE), expected)
    got = _mapped(lambda x, w, axis: global_sum(x, axis, where=w), ROWS, WHERE)
    assert_allclose(got, jnp.full(8, expected))


@pytest.mark.parametrize("power", [1, 2])
def test_mean_gradient_is_that_of_the_global_sum(power):
    w = jnp.array([0.3, -0.7])

    def loss(w, x, axis):
        return jnp.sqrt(1 + global_sum(jnp.tanh(x @ w), axis) ** power)

    def mapped(x, axis):
        return jax.lax.pmean(jax.grad(loss)(w, x, axis), axis)

    assert_allclose(_mapped(mapped, ROWS)[0], jax.grad(loss)(w, ROWS, None), rtol=1e-5)
