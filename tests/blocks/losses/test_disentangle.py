"""Factors of chunked vectors: hand-worked numbers and properties of AD-DRL's equations."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses import disentangle as dis
from mmjax.blocks.losses.pairwise import bpr

FACTORS, WIDTH, MODALITIES = 4, 8, 3
LOW, HIGH = math.log1p(math.exp(-1)), math.log1p(math.exp(1))


@pytest.fixture
def views(getkey):
    return jax.random.normal(getkey(), (6, FACTORS, MODALITIES, WIDTH))


@pytest.fixture
def attention(getkey):
    shapes = [(WIDTH, MODALITIES), (MODALITIES,), (MODALITIES, MODALITIES), (MODALITIES,)]
    return [9 * jax.random.normal(getkey(), shape) for shape in shapes]


@pytest.fixture
def users(getkey):
    return jax.random.normal(getkey(), (6, FACTORS, WIDTH))


def test_chunks_keep_the_order():
    assert_array_equal(dis.chunks(jnp.arange(6.0), 3), [[0, 1], [2, 3], [4, 5]])
    for factors in (4, 0):
        with pytest.raises(ValueError, match=f"6 cannot be cut into {factors}"):
            dis.chunks(jnp.arange(6.0), factors)


@pytest.mark.parametrize("double", [False, True])
def test_modality_weights_are_shares(views, attention, double):
    weights = dis.modality_weights(views, *attention, double_softmax=double)
    assert weights.shape == (6, FACTORS, MODALITIES)
    assert_allclose(weights.sum(-1), np.ones((6, FACTORS)), rtol=1e-6)
    low, high = (1 / (2 + math.e), math.e / (2 + math.e)) if double else (0, 1)
    assert low - 1e-6 <= weights.min() and weights.max() <= high + 1e-6
    if double:
        assert_allclose([low, high], [0.211942, 0.576117], atol=1e-6)
        assert weights.max() > 0.57, "attention this sharp comes close to the bound"
    else:
        assert weights.max() > 0.9


@pytest.mark.parametrize("double", [False, True])
def test_equal_logits_share_equally(views, attention, double):
    w1, b1, w2, b2 = attention
    weights = dis.modality_weights(
        views, w1, b1, jnp.zeros_like(w2), jnp.full_like(b2, 0.3), double_softmax=double
    )
    assert_allclose(weights, np.full((6, FACTORS, MODALITIES), 1 / 3), rtol=1e-6)


def test_factor_scores_are_bounded(views, attention, users):
    fused = dis.fuse(views, dis.modality_weights(views, *attention))
    assert (jnp.linalg.norm(fused, axis=-1) <= 1 + 1e-6).all()
    assert_allclose([LOW, HIGH], [0.313262, 1.313262], atol=1e-6)
    for sign in (1, -1):
        extreme = dis.factor_scores(sign * fused, l2_normalise(fused))
        assert_allclose(extreme, np.full((6, FACTORS), HIGH if sign == 1 else LOW), rtol=1e-5)
    scores = dis.factor_scores(users, fused)
    assert ((scores >= LOW) & (scores <= HIGH)).all()


def test_scales_of_a_factor_do_not_matter(views, attention, users):
    def scores(views, users):
        fused = dis.fuse(views, dis.modality_weights(views, *attention))
        return dis.factor_scores(users, fused)

    before = scores(views, users)
    assert_allclose(scores(views, users.at[2, 1].multiply(7.0)), before, rtol=1e-5)
    assert_allclose(scores(views.at[3, 2].multiply(0.2), users), before, rtol=1e-4)
    assert not np.allclose(scores(views.at[3, 2, 0].multiply(20.0), users)[3, 2], before[3, 2])


def test_a_factor_of_the_user_moves_its_own_term_only(views, attention, users):
    fused = dis.fuse(views, dis.modality_weights(views, *attention))
    slopes = jax.jacrev(lambda u: dis.factor_scores(u, fused[0]))(users[0])
    for term in range(FACTORS):
        for factor in range(FACTORS):
            assert bool((slopes[term, factor] != 0).any()) == (term == factor)


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.5, 0.0]])
def test_scores_of_all_pairs_equal_the_pairs_one_by_one(views, attention, users, weights):
    fused = dis.fuse(views, dis.modality_weights(views, *attention))
    omega = None if weights is None else jnp.array(weights)
    flat = l2_normalise(users).reshape(6, -1), fused.reshape(6, -1)
    everything = dis.score(*flat, omega, factors=FACTORS)
    pairs = dis.factor_scores(users[:, None], fused[None])
    say = jnp.ones(FACTORS) if omega is None else omega
    assert_allclose(everything, (pairs * say[None, None]).sum(-1), atol=1e-6)
    if omega is None:
        assert ((everything > FACTORS * LOW) & (everything < FACTORS * HIGH)).all()


def test_one_negative_is_plain_bpr(getkey):
    pos, neg = jax.random.normal(getkey(), (2, 9))
    assert_allclose(dis.hardest_bpr(pos, neg[:, None]), bpr(pos, neg), rtol=1e-6)


def test_only_the_hardest_negative_is_pushed():
    pos, negs = jnp.array([0.5, -1.0]), jnp.array([[0.1, 0.9, -2.0], [0.3, 0.3, 0.2]])
    assert_allclose(dis.hardest_bpr(pos, negs), bpr(pos, jnp.array([0.9, 0.3])), rtol=1e-6)
    slopes = jax.grad(lambda n: dis.hardest_bpr(pos, n).sum())(negs)
    assert_array_equal(slopes != 0, [[False, True, False], [True, False, False]])


def test_equal_logits_of_factors():
    assert_allclose(dis.which_factor(jnp.zeros((2, 4, 4))), np.full(2, 4 * math.log(4)), rtol=1e-6)
    # Four sources: user, ids, text and image.
    assert 4 * 4 * math.log(4) == pytest.approx(22.180710, abs=1e-6)


def test_factor_names_are_places():
    logits = jnp.diag(jnp.array([50.0, 50.0, 50.0]))
    assert_allclose(dis.which_factor(logits), 0.0, atol=1e-6)
    assert dis.which_factor(jnp.roll(logits, 1, axis=0)) > 100


@pytest.mark.parametrize(("scale", "temperature"), [(1.0, 1.0), (1.7, 1.0), (1.3, 0.5)])
def test_identical_orthonormal_factors(scale, temperature):
    x = scale * jnp.eye(4, 8)[None]
    each = math.log1p(3 * math.exp(-(scale**2) / temperature))
    found = dis.inter_modality(x, x, temperature=temperature)
    assert_allclose(found, [2 * 4 * each], rtol=1e-5)


def test_factors_of_zeros():
    zeros = jnp.zeros((3, 4, 8))
    assert_allclose(dis.inter_modality(zeros, zeros), np.full(3, 11.090355), rtol=1e-6)


def test_inter_modality_is_symmetric_and_sees_one_item_at_a_time(getkey):
    x, y = jax.random.normal(getkey(), (2, 5, FACTORS, WIDTH))
    found = dis.inter_modality(x, y)
    assert_allclose(found, dis.inter_modality(y, x), rtol=1e-5)
    assert_allclose(found[3], dis.inter_modality(x[3], y[3]), rtol=1e-5)


def test_gradients_at_zero_are_finite():
    zeros = jnp.zeros((2, FACTORS, MODALITIES, WIDTH))

    def total(views):
        fused = dis.fuse(views, jnp.full((2, FACTORS, MODALITIES), 1 / 3))
        return dis.factor_scores(views[:, :, 0], fused).sum()

    assert np.isfinite(jax.grad(total)(zeros)).all()
