"""Codebooks by moving averages and revival, on one device and on eight."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, PartitionSpec
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation.codebook_ema import (
    Averages,
    averages,
    follow,
    followed_codebook,
    revive,
)
from mmjax.blocks.quantisation.codes import nearest
from mmjax.blocks.quantisation.kmeans import lloyd


def problem(seed=0, rows=32, k=6, width=3):
    k_x, k_c = jax.random.split(jax.random.key(seed))
    return jax.random.normal(k_x, (rows, width)), jax.random.normal(k_c, (k, width))


def test_without_memory_it_is_a_round_of_lloyd():
    x, c = problem()
    codes = nearest(x, c)
    state = follow(averages(c), x, codes, decay=0.0)
    assert_allclose(followed_codebook(state, c, eps=0.0), lloyd(x, c), atol=1e-6)


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_a_code_without_members_keeps_its_vector(eps):
    x, c = problem()
    codes = jnp.zeros(32, jnp.int32)
    found = followed_codebook(follow(averages(c), x, codes, decay=0.0), c, eps=eps)
    assert_array_equal(found[1:], c[1:])
    assert_allclose(found[0], x.mean(0), rtol=1e-3)


def test_an_update_by_hand():
    state = Averages(jnp.array([2.0, 1.0]), jnp.array([[4.0], [1.0]]))
    x, codes = jnp.array([[1.0], [2.0], [9.0]]), jnp.array([0, 0, -1])
    new = follow(state, x, codes, decay=0.5)
    assert_allclose(new.counts, [2.0, 0.5])
    assert_allclose(new.sums, [[3.5], [0.5]])
    found = followed_codebook(new, jnp.zeros((2, 1)), eps=0.25)
    smoothed = np.array([2.25, 0.75]) / 3.0 * 2.5
    assert_allclose(found[:, 0], np.array([3.5, 0.5]) / smoothed, rtol=1e-6)


def test_repeated_on_one_batch_it_reaches_the_means():
    x, c = problem()
    codes, state = nearest(x, c), averages(c)
    step = jax.jit(partial(follow, decay=0.8))
    for _ in range(80):
        state = step(state, x, codes)
    counts = np.bincount(codes, minlength=6)
    assert_allclose(state.counts, counts, atol=1e-4)
    found = followed_codebook(state, c, eps=0.0)
    for k in np.flatnonzero(counts):
        assert_allclose(found[k], x[codes == k].mean(0), atol=1e-4)


REVIVE = jax.jit(revive, static_argnames=("threshold",))


@settings(max_examples=20)
@given(st.integers(0, 2**20))
def test_dead_codes_become_distinct_rows_that_count(seed):
    x, c = problem(seed)
    draw = np.random.default_rng(seed)
    counts = jnp.asarray(draw.choice([0.5, 3.0], 6), jnp.float32)
    where = jnp.asarray(draw.random(32) < 0.5)
    state = Averages(counts, counts[:, None] * c)
    found = REVIVE(jax.random.key(seed), c, state, x, where=where)
    dead = np.asarray(counts < 2) & bool(where.any())
    assert_array_equal(found.dead, dead)
    chex.assert_trees_all_equal(found.codebook[~dead], c[~dead])
    chosen = [
        np.flatnonzero((np.asarray(x) == row).all(1)) for row in np.asarray(found.codebook)[dead]
    ]
    assert all(len(found_at) == 1 and where[found_at[0]] for found_at in chosen)
    if dead.sum() <= where.sum():
        assert len({int(found_at[0]) for found_at in chosen}) == dead.sum()
    assert_array_equal(found.state.counts, np.where(dead, 2.0, counts))
    assert_allclose(found.state.sums[dead], 2 * found.codebook[dead])
    assert_array_equal(found.state.sums[~dead], state.sums[~dead])


def test_every_row_may_be_drawn_about_as_often():
    x, c = jnp.arange(8.0)[:, None], jnp.full((3, 1), -1.0)
    state = Averages(jnp.zeros(3), jnp.zeros((3, 1)))
    draw = jax.jit(jax.vmap(lambda key: revive(key, c, state, x).codebook))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)), int)
    assert_allclose(np.bincount(drawn.ravel(), minlength=8) / 4000, 3 / 8, atol=0.13)
    assert all(len(set(row)) == 3 for row in drawn[:, :, 0].tolist())


def test_more_dead_codes_than_rows_and_no_row_at_all():
    x, c = problem(rows=2)
    state = Averages(jnp.zeros(6), jnp.zeros((6, 3)))
    found = REVIVE(jax.random.key(0), c, state, x)
    assert found.dead.all()
    assert all((np.asarray(x) == row).all(1).any() for row in np.asarray(found.codebook))
    found = REVIVE(jax.random.key(0), c, state, x, where=jnp.zeros(2, bool))
    assert not found.dead.any()
    assert_array_equal(found.codebook, c)


def _step(key, c, state, x, where, axis):
    codes = jnp.where(where, nearest(x, c), -1)
    state = follow(state, x, codes, decay=0.9, axis=axis)
    c = followed_codebook(state, c)
    return revive(key, c, state, x, threshold=1.5, where=where, axis=axis)


@pytest.mark.multi
@pytest.mark.parametrize("devices", [2, 8])
def test_devices_agree_with_one(devices):
    x, c = problem(rows=32, k=12)
    where = jnp.arange(32) % 5 > 0
    one = jax.jit(partial(_step, axis=None))(jax.random.key(1), c, averages(c), x, where)
    assert one.dead.any() and not one.dead.all()
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )
    whole, rows = PartitionSpec(), PartitionSpec("data")
    mapped = jax.shard_map(
        partial(_step, axis="data"),
        mesh=mesh,
        in_specs=(whole, whole, whole, rows, rows),
        out_specs=whole,
        check_vma=False,
    )
    found = jax.jit(mapped)(jax.random.key(1), c, averages(c), x, where)
    chex.assert_trees_all_close(found, one, atol=1e-5)
    every = jax.pmap(
        partial(_step, axis="data"),
        axis_name="data",
        in_axes=(None, None, None, 0, 0),
        devices=jax.devices()[:devices],
    )
    shards = [a.reshape(devices, -1, *a.shape[1:]) for a in (x, where)]
    copies = every(jax.random.key(1), c, averages(c), *shards)
    for device in range(devices):
        chex.assert_trees_all_close(jax.tree.map(lambda a, d=device: a[d], copies), one, atol=1e-5)


def test_a_decay_that_cannot_be():
    x, c = problem()
    with pytest.raises(ValueError, match="decay = 1.0"):
        follow(averages(c), x, nearest(x, c), decay=1.0)
