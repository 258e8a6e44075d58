"""Contrast within a batch and between tables: values by hand, and the same on eight devices."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.losses.contrast import between_tables, in_batch
from mmjax.blocks.losses.pairwise import info_nce

WHERE = jnp.arange(16) % 5 > 0


@pytest.fixture
def pair(getkey):
    return jax.random.normal(getkey(), (16, 4)), jax.random.normal(getkey(), (16, 4))


def test_equal_rows_cost_the_logarithm_of_their_number():
    rows = jnp.ones((16, 3))
    assert_allclose(in_batch(rows, rows, where=jnp.ones(16, bool)), jnp.log(16), rtol=1e-6)
    assert_allclose(in_batch(rows, rows, where=WHERE), jnp.log(WHERE.sum()), rtol=1e-6)
    tables, ids = [jnp.ones((6, 3))] * 3, jnp.array([0, 5])
    value = between_tables(tables, ids, where=jnp.array([True, True]))
    assert_allclose(value, 3 * 2 * jnp.log(6), rtol=1e-6)


def test_inner_products_by_hand():
    a, b = jnp.array([[2.0], [0.0]]), jnp.array([[3.0], [1.0]])
    # Logits over temperature 2: [3, 1] and [0, 0].
    expected = (jnp.log(1 + jnp.exp(-2.0)) + jnp.log(2.0)) / 2
    value = in_batch(a, b, temperature=2.0, where=jnp.ones(2, bool), cosine=False)
    assert_allclose(value, expected, rtol=1e-6)


def test_rows_that_do_not_count_are_deleted(pair):
    a, b = pair
    kept = in_batch(a[WHERE], b[WHERE], where=jnp.ones(int(WHERE.sum()), bool))
    assert_allclose(in_batch(a, b, where=WHERE), kept, rtol=1e-5)
    gradient = jax.grad(lambda a, b: in_batch(a, b, where=WHERE), argnums=(0, 1))(a, b)
    for g in gradient:
        assert jnp.isfinite(g).all()
        assert (g[~WHERE] == 0).all()
        assert (jnp.abs(g[WHERE]).sum(1) > 0).all()


def test_between_two_tables_by_its_definition(pair):
    a, b = pair
    ids, where = jnp.array([3, 3, 9]), jnp.array([True, True, False])
    expected = 2 * info_nce(a, b)[3]
    assert_allclose(between_tables([a, b], ids, where=where), expected, rtol=1e-5)
    assert between_tables([a], ids, where=where) == 0


@pytest.mark.parametrize("cosine", [True, False])
def test_eight_devices_agree_with_one(pair, cosine):
    def loss(scale, a, b, where, axis=None):
        return in_batch(scale * a, b, where=where, axis=axis, cosine=cosine)

    def mapped(a, b, where):
        return jax.lax.pmean(jax.value_and_grad(loss)(scale, a, b, where, "data"), "data")

    scale, (a, b) = jnp.array([1.0, 2.0, 0.5, -1.0])[None, :], pair
    shards = [x.reshape(8, 2, *x.shape[1:]) for x in (a, b, WHERE)]
    many = jax.pmap(mapped, axis_name="data")(*shards)
    one = jax.value_and_grad(loss)(scale, a, b, WHERE)
    for x, y in zip(many, one, strict=True):
        assert_allclose(x[0], y, rtol=1e-4, atol=1e-6)


def test_tables_on_eight_devices(pair):
    ids = jnp.arange(16) % 7
    f = partial(between_tables, list(pair))
    shards = ids.reshape(8, 2), WHERE.reshape(8, 2)
    many = jax.pmap(lambda i, w: f(i, where=w, axis="data"), axis_name="data")(*shards)
    assert_allclose(many, jnp.full(8, f(ids, where=WHERE)), rtol=1e-5)
