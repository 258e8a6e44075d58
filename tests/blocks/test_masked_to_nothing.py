"""Reductions over rows of which none counts: values and gradients are finite, or say infinity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.attention.attention import attend
from mmjax.blocks.attention.pooling import masked_mean
from mmjax.blocks.common.collectives import global_mean, global_sum
from mmjax.blocks.decoding.listwise import gold_first
from mmjax.blocks.graphs.gathered import gather_sum, pattern
from mmjax.blocks.losses import contrast, invariance, pairwise
from mmjax.blocks.losses.incremental_classifier import cross_entropy
from mmjax.blocks.quantisation.sinkhorn import log_assignment

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
NONE, LABEL = jnp.zeros(4, bool), jnp.array([0, 1, 2, 0])


def heads(x):
    return attend(
        x[None, :, None], x[None, :, None], x[None, :, None], where=NONE[None, None, None]
    )


CASES = {
    "attend": heads,
    "masked_mean": lambda x: masked_mean(x[None], NONE[None]),
    "global_mean": lambda x: global_mean(x, None, where=NONE),
    "global_sum": lambda x: global_sum(x, None, where=NONE),
    "gold_first": lambda x: gold_first(x[:, 0], x, where=jnp.zeros((4, 3), bool)),
    "emb_loss": lambda x: pairwise.emb_loss(x, where=NONE),
    "spread": lambda x: invariance.spread(x, NONE),
    "between_tables": lambda x: contrast.between_tables([x, 2 - x], LABEL, where=NONE),
    **{
        f"in_batch at {t}": lambda x, t=t: contrast.in_batch(x, 1 - x, temperature=t, where=NONE)
        for t in (0.2, 0.01)
    },
    "in_batch of products": lambda x: contrast.in_batch(x, 1 - x, where=NONE, cosine=False),
    # In these an example without an allowed class or candidate has an infinite loss.
    "info_nce": lambda x: counted(pairwise.info_nce(x, 1 - x, where=NONE)),
    "cross_entropy": lambda x: counted(cross_entropy(x, LABEL, jnp.zeros(3, bool))),
    "sinkhorn": lambda x: log_assignment(x, where=NONE),
}


def counted(losses):
    """Losses of rows that all are left out, as training reduces them."""
    return global_mean(losses, None, where=NONE)


@pytest.mark.parametrize("name", CASES)
def test_without_a_row_that_counts_the_gradient_is_finite(name):
    value, pull = jax.vjp(CASES[name], ROWS)
    if name != "sinkhorn":  # which assigns nothing: log 0
        assert jnp.isfinite(value).all()
    (gradient,) = pull(jnp.where(jnp.isfinite(value), 1.0, 0.0))
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("name", [n for n in CASES if n != "sinkhorn"])
def test_narrow_numbers_are_taken(name, dtype):
    value = CASES[name](ROWS.astype(dtype))
    assert jnp.isfinite(value.astype(jnp.float32)).all()


def test_a_candidate_that_is_left_out_is_an_infinite_loss_without_gradient():
    where = jnp.array([True, False, True, True])
    value, gradient = jax.value_and_grad(lambda x: pairwise.info_nce(x, 1 - x, where=where)[1])(
        ROWS
    )
    assert value == jnp.inf
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_sums_of_many_narrow_rows_are_exact(dtype):
    """4,099 ones are no number of bfloat16, and 70,000 of float16 are beyond its range."""
    ones, all_rows = jnp.ones(70_001, dtype), jnp.ones(70_001, bool)
    assert float(global_mean(ones, None, where=all_rows)) == 1
    assert float(global_sum(ones[:4099], None)) == 4099
    assert float(masked_mean(ones[None, :, None], all_rows[None])[0, 0]) == 1


@pytest.mark.parametrize("loss", ["bpr", "info_bpr"])
def test_pairwise_losses_are_finite_for_every_finite_pair(loss):
    most = jnp.finfo(jnp.float32).max
    pos, neg = jnp.array([most, -most, 0.0]), jnp.array([-most, most, most])

    def total(pos, neg):
        return pairwise.bpr(pos, neg) if loss == "bpr" else pairwise.info_bpr(pos, neg[:, None])

    value, pull = jax.vjp(total, pos, neg)
    np.testing.assert_array_equal(value, [0, most, most])
    assert all(jnp.isfinite(g).all() for g in pull(jnp.ones(3)))


@pytest.mark.parametrize("weights", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("table", [jnp.float32, jnp.float16])
def test_a_scan_takes_weights_and_rows_of_two_precisions(weights, table):
    index = jnp.array([[0, 2], [1, 1], [3, 0]])
    w = jnp.array([[0.5, 2.0], [1.0, -1.0], [4.0, 0.25]])
    found = gather_sum(w.astype(weights), ROWS.astype(table), pattern(index, 4))
    want = (w[..., None] * ROWS[index]).sum(1)
    assert found.dtype == table
    np.testing.assert_allclose(found.astype(jnp.float32), want, rtol=5e-3, atol=5e-3)
