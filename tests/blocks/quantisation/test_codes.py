"""The nearest code, and reading and summing by code."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation import codes as blocks
from mmjax.blocks.quantisation.codes import (
    counts_by_code,
    each_level,
    lookup,
    nearest,
    squared_distances,
    sums_by_code,
)


def test_distances_by_the_definition(getkey):
    x, c = jax.random.normal(getkey(), (4, 7, 5)), jax.random.normal(getkey(), (6, 5))
    expected = ((np.asarray(x)[..., None, :] - np.asarray(c)) ** 2).sum(-1)
    assert_allclose(squared_distances(x, c), expected, rtol=1e-5, atol=1e-5)
    assert (squared_distances(c, c) >= 0).all()


@given(
    offset=st.sampled_from([1.0, -300.0, 1e3, 1e4]),
    column=st.integers(-1, 4),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=20, deadline=None)
def test_what_all_rows_share_changes_no_code(offset, column, seed):
    draw = np.random.default_rng(seed)
    shift = np.zeros(5, np.float32)
    shift[slice(None) if column < 0 else column] = offset
    # Multiples of 1/64, so that the shifted rows are exact.
    x, c = (np.round(draw.normal(size=(n, 5)) * 64) / 64 for n in (200, 16))
    x, c = x.astype(np.float32), c.astype(np.float32)
    exact = ((x[:, None].astype(float) - c[None]) ** 2).sum(2)
    found = np.asarray(nearest(jnp.asarray(x + shift), jnp.asarray(c + shift)))
    assert_allclose(exact[np.arange(200), found], exact.min(1), rtol=1e-4, atol=1e-4)
    distances = squared_distances(jnp.asarray(x + shift), jnp.asarray(c + shift))
    assert_allclose(distances, exact, rtol=1e-4, atol=1e-3)


def test_ten_thousand_rows_against_brute_force(getkey):
    x, c = jax.random.normal(getkey(), (10_000, 8)), jax.random.normal(getkey(), (64, 8))
    distances = ((np.asarray(x)[:, None] - np.asarray(c)[None]) ** 2).sum(-1)
    assert_array_equal(jax.jit(nearest)(x, c), distances.argmin(1))


@pytest.mark.parametrize("entries", [1, 30, 64, 1 << 20])
def test_blocks_of_any_size_agree(entries, getkey):
    x, c = jax.random.normal(getkey(), (37, 4)), jax.random.normal(getkey(), (6, 4))
    offset = 0.5 * jnp.square(c).sum(1)
    found = blocks._by_block(x, c, offset, entries=entries)
    assert_array_equal(found, squared_distances(x, c).argmin(1))


def test_of_equal_codes_the_lowest_is_taken():
    c = jnp.array([[5.0, 5.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert_array_equal(nearest(jnp.array([[1.0, 0.0], [0.5, 0.5]]), c), [1, 1])


def test_cosine_ignores_lengths(getkey):
    x, c = jax.random.normal(getkey(), (50, 4)), jax.random.normal(getkey(), (9, 4))
    scale = jnp.exp(jax.random.normal(getkey(), (9, 1)))
    found = nearest(3 * x, scale * c, cosine=True)
    assert_array_equal(found, nearest(x, c, cosine=True))
    cosines = (x @ c.T) / jnp.linalg.norm(c, axis=1)[None]
    assert_array_equal(found, cosines.argmax(1))
    assert (found != nearest(3 * x, scale * c)).any()


def test_products_keep_full_precision():
    # At the platform's default a GPU or TPU would round these products to 10 bits or fewer.
    text = jax.jit(nearest).lower(jnp.ones((4, 8)), jnp.ones((3, 8))).as_text()
    dots = [line for line in text.splitlines() if "dot_general" in line]
    assert dots and all("HIGHEST" in line for line in dots)


def test_lookup_and_its_gradient(getkey):
    c, codes = jax.random.normal(getkey(), (5, 3)), jnp.array([1, 4, -1, 1])
    assert_array_equal(lookup(c, codes)[jnp.array([0, 1, 3])], c[codes[jnp.array([0, 1, 3])]])
    assert_array_equal(lookup(c, codes)[2], jnp.zeros(3))
    check_grads(lambda c: jnp.tanh(lookup(jnp.asarray(c), codes)), (c,), order=2, modes=["rev"])
    grad = jax.grad(lambda c: lookup(c, codes).sum())(c)
    assert_array_equal(grad, jnp.array([0.0, 2.0, 0.0, 0.0, 1.0])[:, None] * jnp.ones((1, 3)))


def test_a_lookup_for_every_seed(getkey):
    c, codes = jax.random.normal(getkey(), (2, 5, 3)), jnp.array([[1, 4, -1], [0, 0, 2]])
    f = jax.grad(lambda c, codes: jnp.square(lookup(c, codes)).sum())
    together = jax.vmap(f)(c, codes)
    chex.assert_trees_all_close(together, jnp.stack([f(c[i], codes[i]) for i in range(2)]))


@settings(max_examples=20)
@given(st.lists(st.integers(-1, 4), min_size=12, max_size=12))
def test_sums_and_counts_both_ways(codes):
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    expected = np.zeros((5, 3))
    for row, code in zip(x, codes, strict=True):
        if code >= 0:
            expected[code] += row
    codes = jnp.array(codes)
    for way in (sums_by_code, blocks._sums_by_scatter, blocks._sums_by_product):
        assert_allclose(way(jnp.asarray(x), codes, size=5), expected, atol=1e-5)
    assert_array_equal(counts_by_code(codes, size=5), [(codes == k).sum() for k in range(5)])


def test_gradient_on_accelerators_needs_no_scatter():
    def f(c, codes):
        return jax.grad(lambda c: jnp.square(lookup(c, codes)).sum())(c)

    traced = jax.jit(f).trace(jnp.ones((256, 8)), jnp.zeros(64, jnp.int32))
    assert "scatter" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "scatter" in traced.lower(lowering_platforms=("cpu",)).as_text()


def test_ways_to_assign_fit_the_levels():
    assert each_level(nearest, [jnp.ones((2, 2))] * 3) == [nearest] * 3
    with pytest.raises(ValueError, match="2 codebooks and 1 ways"):
        each_level([nearest], [jnp.ones((2, 2))] * 2)
    with pytest.raises(ValueError, match="0 codebooks"):
        each_level(nearest, [])
