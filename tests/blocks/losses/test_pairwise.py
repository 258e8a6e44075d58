"""Losses against hand-worked numbers, limits, masks, several devices and extremes."""

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from absl.testing import parameterized
from jax.test_util import check_grads

from mmjax.blocks.common.collectives import gather
from mmjax.blocks.losses import contrast, pairwise, pointwise


def close(a, b, rtol=1e-6, atol=1e-6):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


class TestByHand(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_bpr(self):
        pos, neg = jnp.array([0.0, 1.0, -2.0]), jnp.array([0.0, 0.0, 1.0])
        close(self.variant(pairwise.bpr)(pos, neg), np.log1p(np.exp([0.0, -1.0, 3.0])))

    @chex.variants(with_jit=True, without_jit=True)
    def test_info_bpr(self):
        pos, negs = jnp.array([1.0, 0.0]), jnp.array([[0.0, 2.0], [0.0, 0.0]])
        expected = [np.log(1 + np.exp(-1) + np.exp(1)), np.log(3)]
        close(self.variant(pairwise.info_bpr)(pos, negs), expected)

    @chex.variants(with_jit=True, without_jit=True)
    def test_tur_of_the_specification(self):
        # Attention output worked by hand for M = [[1,0],[0,2],[1,1]], identity projections.
        tokens = jnp.array([[[0.980222, 0.079666], [0.023208, 1.972253], [0.959889, 1.020334]]])
        user = jnp.array([[1.0, -1.0]])
        logits = jnp.einsum("bd,btd->bt", user, tokens)
        close(logits, [[0.900556, -1.949045, -0.060445]])
        close(self.variant(pairwise.tur)(user, tokens), [0.364905])

    @chex.variants(with_jit=True, without_jit=True)
    def test_info_nce(self):
        a, b = jnp.array([[3.0, 0.0], [0.0, 0.5]]), jnp.array([[1.0, 0.0], [2.0, 2.0]])
        c = np.sqrt(0.5)
        expected = [np.log(np.exp(2.0) + np.exp(2 * c)) - 2.0, np.log(1 + np.exp(2 * c)) - 2 * c]
        close(self.variant(lambda a, b: pairwise.info_nce(a, b, temperature=0.5))(a, b), expected)

    @chex.variants(with_jit=True, without_jit=True)
    def test_regularisers(self):
        x, y = jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.array([[1.0, 0.0], [0.0, 0.0]])
        close(self.variant(pairwise.emb_loss)(x, y), (5.0 + 1.0) / 2)
        close(self.variant(pairwise.sq_loss)(x, y), [5.0, 8.0])
        close(self.variant(pairwise.half_square)(x), 12.5)


class TestEqualScores(parameterized.TestCase):
    @parameterized.parameters(1, 2, 7)
    def test_equal_logits_give_the_log_of_the_count(self, k):
        b = 5
        total = pairwise.info_bpr(jnp.full(b, 1.5), jnp.full((b, k), 1.5)).sum()
        close(total, b * np.log(1 + k))
        tokens = jnp.broadcast_to(jnp.array([0.3, -2.0]), (b, 1 + k, 2))
        close(pairwise.tur(jnp.ones((b, 2)), tokens).sum(), b * np.log(1 + k))
        rows = jnp.broadcast_to(jnp.array([0.3, -2.0]), (b, 2))
        close(pairwise.info_nce(rows, rows, temperature=0.2), np.full(b, np.log(b)))


def test_info_bpr_with_one_negative_is_bpr(getkey):
    pos, neg = jax.random.normal(getkey(), (2, 50)) * 10
    close(pairwise.info_bpr(pos, neg[:, None]).sum(), jax.nn.softplus(neg - pos).sum())
    close(pairwise.info_bpr(pos, neg[:, None]), pairwise.bpr(pos, neg))


def test_no_negatives_and_no_samples_cost_nothing(getkey):
    x = jax.random.normal(getkey(), (4, 3))
    close(pairwise.info_bpr(x[:, 0], jnp.zeros((4, 0))), np.zeros(4), atol=0)
    close(pairwise.tur(x, x[:, None]), np.zeros(4), atol=0)


def test_tur_is_invariant_to_the_order_of_sampled_tokens(getkey):
    user, tokens = jax.random.normal(getkey(), (4, 3)), jax.random.normal(getkey(), (4, 6, 3))
    shuffled = tokens[:, np.array([0, 3, 5, 1, 2, 4])]
    close(pairwise.tur(user, tokens), pairwise.tur(user, shuffled))


def test_norms_scale_as_stated(getkey):
    u, i = jax.random.normal(getkey(), (2, 6, 3))
    close(pairwise.emb_loss(2 * u, 2 * i), 2 * pairwise.emb_loss(u, i))
    close(pairwise.sq_loss(2 * u, 2 * i), 4 * pairwise.sq_loss(u, i))
    close(pairwise.sq_loss(u, i).sum(), pairwise.half_square(u) + pairwise.half_square(i))


def test_masking_equals_deletion(getkey):
    a, b = jax.random.normal(getkey(), (2, 6, 3))
    keep = np.array([True, True, False, True, False, True])
    close(pairwise.emb_loss(a, b, where=jnp.asarray(keep)), pairwise.emb_loss(a[keep], b[keep]))
    masked = pairwise.info_nce(a, b, temperature=0.3, where=jnp.asarray(keep))
    close(masked[keep], pairwise.info_nce(a[keep], b[keep], temperature=0.3))
    assert np.isposinf(masked[~keep]).all()


def test_info_nce_ignores_lengths_and_finds_named_positives(getkey):
    a, b = jax.random.normal(getkey(), (4, 3)), jax.random.normal(getkey(), (9, 3))
    positive = jnp.array([8, 0, 3, 3])
    loss = pairwise.info_nce(a, b, temperature=0.2, positive=positive)
    close(loss, pairwise.info_nce(5 * a, b * 0.1, temperature=0.2, positive=positive), rtol=1e-5)
    logits = (a / jnp.linalg.norm(a, axis=1, keepdims=True)) @ (
        b / jnp.linalg.norm(b, axis=1, keepdims=True)
    ).T
    expected = -jax.nn.log_softmax(logits / 0.2)[np.arange(4), np.asarray(positive)]
    close(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.03, 0.2, 3.0])
def test_info_nce_is_exact_at_every_temperature(temperature, getkey):
    x = jax.random.normal(getkey(), (6, 5))
    a, b = jnp.concatenate([x, x[:1]]), jnp.concatenate([-x, x[:1]])  # opposite, and the same
    where = jnp.array([True, True, True, False, True, True, True])
    cosines = (
        np.asarray(pairwise.l2_normalise(a), np.float64) @ np.asarray(pairwise.l2_normalise(b)).T
    )
    shifted = (cosines - 1) / temperature
    each = np.where(np.asarray(where)[None], np.exp(shifted), 0).sum(1)
    expected = np.log(each) - np.diag(shifted)

    def loss(a, b):
        return pairwise.info_nce(a, b, temperature=temperature, where=where)

    values = loss(a, b)
    assert values[3] == jnp.inf  # its positive is left out
    kept = np.asarray(where)
    np.testing.assert_allclose(values[kept], expected[kept], rtol=2e-5, atol=1e-5)
    gradients = jax.grad(lambda a, b: jnp.where(where, loss(a, b), 0).sum(), (0, 1))(a, b)
    chex.assert_tree_all_finite(gradients)


def test_info_nce_refuses_rows_that_cannot_be_paired():
    with pytest.raises(ValueError, match="4 anchors and 9 candidates"):
        pairwise.info_nce(jnp.ones((4, 3)), jnp.ones((9, 3)), temperature=0.2)


@pytest.mark.multi
@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (pairwise.bpr, [(3,), (3, 1)]),
        (pairwise.info_bpr, [(3,), (1, 4)]),
        (pairwise.tur, [(1, 2), (3,)]),
        (pairwise.emb_loss, [(3, 2), (4, 2)]),
        (pairwise.sq_loss, [(3, 2), (1, 2)]),
        (pointwise.weighted_bce, [(3, 2), (3, 1)]),
        (contrast.in_batch, [(3, 2), (1, 2)]),
    ],
)
def test_shapes_that_would_broadcast_are_refused(loss, shapes, monkeypatch):
    # As a user without the checks of this suite meets it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    options = {"where": jnp.ones(3, bool)} if loss is contrast.in_batch else {}
    with pytest.raises(AssertionError, match="Chex"):
        loss(*map(jnp.ones, shapes), **options)


def test_in_batch_losses_are_the_same_on_several_devices(getkey):
    a, b = jax.random.normal(getkey(), (2, 8, 3))
    where = jnp.arange(8) < 7

    def local(a, b, where):
        first = a.shape[0] * jax.lax.axis_index("data")
        nce = pairwise.info_nce(
            a,
            gather(b, "data"),
            temperature=0.2,
            positive=first + jnp.arange(a.shape[0]),
            where=jax.lax.all_gather(where, "data", tiled=True),
        )
        return nce, pairwise.emb_loss(a, b, where=where, axis="data")

    split = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), (a, b, where))
    nce, norms = jax.pmap(local, axis_name="data", devices=jax.devices()[:4])(*split)
    close(nce.ravel()[:7], pairwise.info_nce(a, b, temperature=0.2, where=where)[:7], rtol=1e-5)
    close(norms, np.full(4, pairwise.emb_loss(a, b, where=where)))


def test_gradients_agree_with_differences(getkey):
    u, i, j = jax.random.normal(getkey(), (3, 4, 3))
    where = jnp.array([True, True, False, True])
    functions = (
        lambda u, i, j: pairwise.bpr(u, i + j),
        lambda u, i, j: pairwise.info_bpr(u[:, 0], i + j),
        lambda u, i, j: pairwise.tur(u, jnp.stack([i, j], 1)),
        lambda u, i, j: pairwise.info_nce(u, i + j, temperature=0.5, where=where)[:2],
        lambda u, i, j: pairwise.emb_loss(u, i, j, where=where),
        lambda u, i, j: pairwise.sq_loss(u, i, j),
        lambda u, i, j: pairwise.half_square(u * i * j),
    )
    for f in functions:
        check_grads(jax.jit(f), (u, i, j), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
def test_values_and_gradients_are_finite_at_extremes(size):
    x = size * jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    tokens = jnp.stack([x[::-1], x], 1)
    unit = jnp.ones_like(x)
    functions = {
        "bpr": lambda x: pairwise.bpr(x, -x),
        "info_bpr": lambda x: pairwise.info_bpr(x[:, 0], -x),
        "tur": lambda x: pairwise.tur(unit * x, tokens / max(size, 1.0)),
        "info_nce": lambda x: pairwise.info_nce(x * 1e-15, x * 1e-12, temperature=1e-3),
        "emb_loss": lambda x: pairwise.emb_loss(x / max(size, 1e15) * 1e15, x * 1e-12),
    }
    for name, f in functions.items():
        value, gradient = jax.value_and_grad(lambda x, f=f: f(x).sum())(x)
        assert np.isfinite(value) and np.isfinite(gradient).all(), name


def test_bfloat16_is_accumulated_in_float32(getkey):
    # 4096 ones: a bfloat16 sum would stick at 256.
    ones = jnp.ones((4096, 2), jnp.bfloat16)
    assert float(pairwise.half_square(ones)) == 4096.0
    close(pairwise.emb_loss(ones), np.sqrt(8192) / 4096)
    wide = jnp.ones((1, 4096), jnp.bfloat16)
    assert float(pairwise.sq_loss(wide)[0]) == 2048.0
    tokens = jnp.stack([wide[0], 0.5 * wide[0]])[None]
    close(pairwise.tur(wide / 64, tokens / 64), [np.log1p(np.exp(-0.5))])
    rows = jax.random.normal(getkey(), (5, 4), jnp.bfloat16)
    for loss in (
        pairwise.bpr(rows[:, 0], rows[:, 1]),
        pairwise.info_bpr(rows[:, 0], rows),
        pairwise.tur(rows, rows[:, None]),
        pairwise.info_nce(rows, rows, temperature=0.2),
    ):
        assert loss.dtype == jnp.float32
    exact = pairwise.info_nce(*(rows.astype(jnp.float32),) * 2, temperature=0.2)
    close(pairwise.info_nce(rows, rows, temperature=0.2), exact)
