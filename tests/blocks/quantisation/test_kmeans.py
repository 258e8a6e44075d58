"""k-means, its seeds and residual k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation import kmeans as blocks
from mmjax.blocks.quantisation.encoding import decode, encode
from mmjax.blocks.quantisation.kmeans import (
    init_codebooks,
    kmeans,
    lloyd,
    residual_kmeans,
    seed_centres,
)

LLOYD = jax.jit(lloyd)


def clusters(seed=0, n=120, k=6, width=3, noise=0.05):
    """Rows around k far centres, and which."""
    draw = np.random.default_rng(seed)
    centres = 10 * np.eye(k, width) + 20 * np.arange(k)[:, None]
    own = np.arange(n) % k
    x = centres[own] + noise * draw.normal(size=(n, width))
    return jnp.asarray(x, jnp.float32), own


def error(x, centres):
    return np.square(np.asarray(x)[:, None] - np.asarray(centres)[None]).sum(-1).min(1).sum()


def test_far_clusters_are_found(getkey):
    x, own = clusters()
    found = kmeans(getkey(), x, 6)
    assert len({(int(a), int(b)) for a, b in zip(own, found.codes, strict=True)}) == 6
    for k in range(6):
        assert_allclose(found.centres[found.codes[k]], x[own == k].mean(0), rtol=1e-4)


def test_seeds_are_rows_of_all_far_clusters(getkey):
    x, own = clusters()
    seeds = np.asarray(jax.jit(seed_centres, static_argnums=2)(getkey(), x, 6))
    rows = [int(np.flatnonzero((np.asarray(x) == s).all(1))[0]) for s in seeds]
    assert sorted(own[rows]) == list(range(6))


def test_a_second_seed_by_squared_distance():
    x = jnp.array([[0.0], [1.0], [3.0]])
    draw = jax.jit(jax.vmap(lambda key: seed_centres(key, x, 2)[:, 0]))
    seeds = np.asarray(draw(jax.random.split(jax.random.key(0), 6000)))
    for first, shares in ((0.0, {1.0: 0.1, 3.0: 0.9}), (1.0, {0.0: 0.2, 3.0: 0.8})):
        second = seeds[seeds[:, 0] == first, 1]
        assert_allclose(len(second) / 6000, 1 / 3, atol=0.03)
        for value, share in shares.items():
            assert_allclose((second == value).mean(), share, atol=0.04)


@settings(max_examples=15)
@given(st.integers(0, 2**20))
def test_a_round_is_the_mean_of_members_and_never_worse(seed):
    k_x, k_c = jax.random.split(jax.random.key(seed))
    x, centres = jax.random.normal(k_x, (40, 2)), jax.random.normal(k_c, (5, 2))
    new = np.asarray(LLOYD(x, centres))
    codes = np.square(np.asarray(x)[:, None] - np.asarray(centres)[None]).sum(-1).argmin(1)
    for k in np.unique(codes):
        assert_allclose(new[k], np.asarray(x)[codes == k].mean(0), atol=1e-5)
    assert error(x, new) <= error(x, centres) + 1e-4


def test_empty_clusters_move_to_the_worst_fitted_rows():
    x = jnp.array([[0.0], [1.0], [9.0], [2.0]])
    new = LLOYD(x, jnp.array([[0.0], [100.0], [200.0]]))
    assert_array_equal(new, [[3.0], [9.0], [2.0]])


@pytest.mark.parametrize("seeding", ["++", "rows"])
def test_no_cluster_stays_empty(seeding, getkey):
    x = jnp.concatenate([jnp.zeros((50, 2)), jax.random.normal(getkey(), (7, 2))])
    found = kmeans(getkey(), x, 8, seeding=seeding, rounds=10)
    assert sorted(set(found.codes.tolist())) == list(range(8))
    assert np.isfinite(found.centres).all()


def test_fewer_distinct_rows_than_clusters(getkey):
    x = jnp.repeat(jnp.array([[0.0, 1.0], [2.0, 3.0]]), 5, axis=0)
    found = kmeans(getkey(), x, 4)
    assert error(x, found.centres) == 0
    assert len(set(found.codes.tolist())) == 2


def test_as_many_clusters_as_rows(getkey):
    x = jax.random.normal(getkey(), (9, 2))
    assert error(x, kmeans(getkey(), x, 9, rounds=3).centres) < 1e-8


def test_residual_levels_are_those_of_encode(getkey):
    x = jax.random.normal(getkey(), (200, 4))
    books, codes = residual_kmeans(getkey(), x, (8, 8, 3), rounds=5)
    assert [b.shape for b in books] == [(8, 4), (8, 4), (3, 4)]
    assert_array_equal(codes, encode(x, books))
    errors = [np.square(x - decode(codes[:, :m], books)).sum() for m in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]


def test_normalised_residuals_as_in_grid(getkey):
    x = 7 * jax.random.normal(getkey(), (100, 4))
    books, codes = residual_kmeans(getkey(), x, (6, 6), rounds=5, normalise=True)
    assert_array_equal(codes, encode(x, books, normalise=True))
    assert (jnp.linalg.norm(books[0], axis=1) <= 1 + 1e-5).all()
    assert (jnp.linalg.norm(books[1], axis=1) <= 1 + 1e-5).all()


def test_first_codebooks(getkey):
    x, _ = clusters()
    key = getkey()
    uniform = init_codebooks(jax.random.clone(key), (4, 8), x, method="uniform")
    assert [u.shape for u in uniform] == [(4, 3), (8, 3)]
    assert all(
        (jnp.abs(u) <= 1 / len(u)).all() and jnp.abs(u).max() > 0.5 / len(u) for u in uniform
    )
    plain = init_codebooks(jax.random.clone(key), (6, 6), x, method="kmeans")
    assert all(error(x, c) < 0.05**2 * 3 * 120 * 1.2 for c in plain)
    residual = init_codebooks(jax.random.clone(key), (6, 6), x)
    assert jnp.abs(residual[1]).max() < 1


def test_bad_sizes(getkey):
    x = jnp.ones((3, 2))
    with pytest.raises(ValueError, match="4 clusters of 3 rows"):
        kmeans(getkey(), x, 4)
    with pytest.raises(ValueError, match="0 clusters of 3 rows"):
        seed_centres(getkey(), x, 0)
    with pytest.raises(ValueError, match="no sizes"):
        residual_kmeans(getkey(), x, ())
    assert blocks._check_rows(3, 3) is None


def test_an_offset_moves_the_centres_alone(getkey):
    x, _ = clusters(noise=0.25)
    key, shift = getkey(), jnp.array([4096.0, 0.0, -1024.0])[None]
    plain, moved = kmeans(jax.random.clone(key), x, 6), kmeans(key, x + shift, 6)
    assert len(set(np.asarray(moved.codes).tolist())) == 6
    assert error(x + shift, moved.centres) < 1.05 * error(x, plain.centres) + 1e-3
