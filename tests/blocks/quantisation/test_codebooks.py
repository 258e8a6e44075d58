"""Statistics of codes."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation.codebooks import (
    category_purity,
    groups,
    identity,
    residual_energy,
    summary,
    use,
)
from mmjax.blocks.quantisation.encoding import decode, encode

CODES = st.integers(0, 2**20).map(
    lambda seed: np.random.default_rng(seed).integers(0, 3, (14, 3)).astype(np.int32)
)
IDENTITY, PURITY = jax.jit(identity), jax.jit(category_purity, static_argnames="prefix")


def test_use_by_hand():
    found = use(jnp.array([5.0, 3.0, 2.0, 0.0]))
    assert_allclose(found.entropy, 1.02965, atol=5e-6)
    assert_allclose(found.perplexity, 2.8001, atol=5e-5)
    assert found.utilisation == 0.75
    assert_allclose(found.normalised_entropy, 1.02965 / np.log(4), rtol=1e-5)


def test_extremes_of_use():
    even = use(jnp.full(8, 3.0))
    assert_allclose(even, (1.0, np.log(8), 8.0, 1.0), rtol=1e-5)
    assert_allclose(use(jnp.array([9.0, 0.0])), (0.5, 0.0, 1.0, 0.0), atol=1e-6)
    assert_allclose(use(jnp.array([4.0])), (1.0, 0.0, 1.0, 0.0), atol=1e-6)
    assert_allclose(use(jnp.zeros(3)), (0.0, 0.0, 1.0, 0.0), atol=1e-6)


@settings(max_examples=25)
@given(CODES)
def test_ids_against_counting(codes):
    counts = Counter(map(tuple, codes.tolist()))
    found = IDENTITY(jnp.asarray(codes))
    n = len(codes)
    assert_allclose(found.unique_rate, len(counts) / n, rtol=1e-6)
    assert_allclose(found.collision_rate, (n - len(counts)) / n, atol=1e-6)
    assert found.largest_group == max(counts.values())
    p = np.array(list(counts.values())) / n
    assert_allclose(found.entropy, -(p * np.log(p)).sum(), rtol=1e-4)
    numbers = np.asarray(groups(jnp.asarray(codes)))
    rows = sorted(counts)
    assert_array_equal(numbers, [rows.index(tuple(row)) for row in codes.tolist()])


def test_equal_and_distinct_ids():
    same = identity(jnp.ones((6, 2), jnp.int32))
    assert (same.largest_group, same.entropy) == (6, 0)
    assert_allclose(same.collision_rate, 5 / 6, rtol=1e-6)
    apart = identity(jnp.stack([jnp.zeros(6, jnp.int32), jnp.arange(6)], 1))
    assert_allclose(apart.unique_rate, 1.0)
    assert_allclose(apart.entropy, np.log(6), rtol=1e-6)


@settings(max_examples=25)
@given(CODES, st.booleans())
def test_purity_against_counting(codes, prefix):
    labels = np.random.default_rng(codes.sum()).integers(0, 4, len(codes)).astype(np.int32)
    found = PURITY(jnp.asarray(codes), jnp.asarray(labels), prefix=prefix)
    for m in range(3):
        part = [tuple(row[: m + 1] if prefix else row[m : m + 1]) for row in codes.tolist()]
        groups_of = {g: [y for h, y in zip(part, labels, strict=True) if h == g] for g in set(part)}
        pure = sum(max(Counter(ys).values()) for ys in groups_of.values())
        assert_allclose(found[m], pure / len(codes), rtol=1e-6)
    if prefix:
        assert (np.diff(found) >= -1e-6).all()


def test_residual_energy_is_what_decoding_leaves(getkey):
    x = jax.random.normal(getkey(), (30, 4))
    books = [0.5**m * jax.random.normal(getkey(), (8, 4)) for m in range(3)]
    codes = encode(x, books)
    found = residual_energy(x, codes, books)
    for m in range(3):
        rest = x - decode(codes[:, : m + 1], books)
        assert_allclose(found[m], jnp.square(rest).sum() / jnp.square(x).sum(), rtol=1e-4)
    assert (jnp.diff(found) < 0).all()


def test_everything_to_log():
    codes = jnp.array([[0, 1], [0, 1], [2, 0], [1, 1]])
    found = jax.jit(summary, static_argnums=1)(codes, (4, 2), jnp.array([0, 1, 1, 0]))
    assert found["level_1/utilisation"] == 0.75
    assert found["level_2/perplexity"] < 2
    assert_allclose(found["ids/collision_rate"], 0.25)
    assert found["ids/largest_group"] == 2
    assert_allclose([found["level_1/purity"], found["level_2/purity"]], [0.75, 0.75])
    assert len(found) == 2 * 5 + 4
    with pytest.raises(ValueError, match="2 levels, but 3 sizes"):
        summary(codes, (4, 2, 2))
