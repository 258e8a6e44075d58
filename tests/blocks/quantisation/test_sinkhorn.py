"""Balanced assignment to codes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation.codes import nearest, squared_distances
from mmjax.blocks.quantisation.sinkhorn import balanced, log_assignment

LINE, ENDS = jnp.array([[0.0], [0.1], [0.2], [1.0]]), jnp.array([[0.0], [1.0]])


def test_a_line_by_hand():
    assert_array_equal(nearest(LINE, ENDS), [0, 0, 0, 1])
    assert_array_equal(balanced(LINE, ENDS, eps=0.3, rounds=50), [0, 0, 1, 1])
    costs = squared_distances(LINE, ENDS)
    q = jnp.exp(log_assignment((costs - 0.5) / (0.5 + 1e-5), eps=0.3, rounds=50))
    assert_allclose(q.sum(0), [2.0, 2.0], rtol=1e-5)
    assert_allclose(q.sum(1), jnp.ones(4), rtol=1e-2)


@pytest.mark.parametrize("eps", [0.003, 0.05, 1.0])
def test_columns_share_the_rows(eps, getkey):
    costs = jax.random.uniform(getkey(), (60, 12), minval=-1.0, maxval=1.0)
    q = jnp.exp(log_assignment(costs, eps=eps, rounds=200))
    assert_allclose(q.sum(0), jnp.full(12, 5.0), rtol=1e-2)
    assert_allclose(q.sum(1).mean(), 1.0, rtol=1e-5)
    if eps > 0.01:
        assert_allclose(q.sum(1), jnp.ones(60), rtol=1e-2)


def test_by_the_definition_in_double_precision(getkey):
    costs = np.asarray(jax.random.uniform(getkey(), (10, 4)), np.float64)
    q = np.exp(-costs / 0.05)
    q /= q.sum()
    for _ in range(30):
        q /= q.sum(1, keepdims=True) * 10
        q /= q.sum(0, keepdims=True) * 4
    found = log_assignment(jnp.asarray(costs, jnp.float32), eps=0.05, rounds=30)
    assert_allclose(jnp.exp(found), 10 * q, rtol=1e-3, atol=1e-6)


def test_a_large_eps_is_uniform_and_a_small_one_the_nearest(getkey):
    codes = jnp.arange(12) % 4
    centres = 5 * jnp.eye(4)
    x = centres[codes] + 0.1 * jax.random.normal(getkey(), (12, 4))
    q = jnp.exp(log_assignment(squared_distances(x, centres), eps=1e6, rounds=5))
    assert_allclose(q, jnp.full((12, 4), 0.25), rtol=1e-3)
    assert_array_equal(balanced(x, centres, eps=0.003), codes)
    assert_array_equal(balanced(x, centres, eps=0.003), nearest(x, centres))


def test_exponentials_that_underflow_are_no_matter():
    # exp(-2 / 0.003) is below the least float32.
    q = jnp.exp(log_assignment(jnp.array([[0.0, 2.0], [0.0, 2.0]]), eps=0.003, rounds=5))
    assert_allclose(q, jnp.full((2, 2), 0.5), rtol=1e-4)


def test_rows_that_do_not_count_do_not_matter(getkey):
    x, c = jax.random.normal(getkey(), (10, 3)), jax.random.normal(getkey(), (4, 3))
    where = jnp.arange(10) < 8
    fill = x.at[8:].set(1e3)
    found = balanced(fill, c, eps=0.05, where=where)
    assert_array_equal(found[:8], balanced(x[:8], c, eps=0.05))
    q = jnp.exp(log_assignment(squared_distances(fill, c), eps=1.0, where=where))
    assert not q[8:].any()
    assert_allclose(q.sum(0), jnp.full(4, 2.0), rtol=1e-4)


@pytest.mark.multi
def test_devices_agree_with_one(getkey):
    x, c = jax.random.normal(getkey(), (16, 3)), jax.random.normal(getkey(), (4, 3))
    where = jnp.arange(16) < 13
    one = balanced(x, c, eps=0.05, where=where)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows, whole = PartitionSpec("data"), PartitionSpec()
    mapped = jax.shard_map(
        lambda x, c, where: balanced(x, c, eps=0.05, where=where, axis="data"),
        mesh=mesh,
        in_specs=(rows, whole, rows),
        out_specs=rows,
        check_vma=False,
    )
    assert_array_equal(jax.jit(mapped)(x, c, where)[:13], one[:13])


def test_it_has_no_gradient_and_compiles(getkey):
    x, c = jax.random.normal(getkey(), (6, 3)), jax.random.normal(getkey(), (4, 3))
    run = partial(balanced, eps=0.05)
    assert_array_equal(jax.jit(run)(x, c), run(x, c))
    grad = jax.grad(lambda c: c[run(x, c)].sum())(c)
    assert_array_equal(grad.sum(), 18.0)


@pytest.mark.parametrize("options", [{"eps": 0.0}, {"rounds": 0}])
def test_bad_options(options):
    with pytest.raises(ValueError, match="give eps > 0 and 1 round or more"):
        log_assignment(jnp.ones((2, 2)), **options)
