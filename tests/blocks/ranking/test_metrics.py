"""Ranking metrics against the hand-worked numbers of the protocol and a plain reference."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.blocks.ranking import metrics


def one(metric, hits, relevant, k):
    return float(metric(jnp.array([hits], bool), jnp.array([relevant]), k)[0])


def test_numbers_of_the_protocol():
    hits = [0, 1, 0, 0, 1]
    assert one(metrics.recall, hits, 3, 5) == pytest.approx(2 / 3, abs=1e-6)
    assert one(metrics.ndcg, hits, 3, 5) == pytest.approx(0.477624, abs=1e-6)
    assert one(metrics.ndcg, hits, 3, 2) == pytest.approx(0.386853, abs=1e-6)
    assert one(metrics.precision, hits, 3, 5) == pytest.approx(0.4, abs=1e-6)
    assert one(metrics.average_precision, hits, 3, 5) == pytest.approx((1 / 2 + 2 / 5) / 3)
    assert one(metrics.average_precision, hits, 3, 2) == pytest.approx((1 / 2) / 2)
    assert one(metrics.hit, hits, 3, 1) == 0.0
    assert one(metrics.hit, hits, 3, 5) == 1.0
    assert one(metrics.reciprocal_rank, hits, 3, 1) == 0.0
    assert one(metrics.reciprocal_rank, hits, 3, 5) == 0.5


def test_list_ndcg_ignores_what_was_not_found():
    hits = [0, 1, 0, 0, 1]
    assert one(metrics.ndcg_list, hits, 3, 5) == pytest.approx(0.624051, abs=1e-6)
    assert one(metrics.ndcg_list, hits, 9, 5) == one(metrics.ndcg_list, hits, 2, 5)
    assert one(metrics.ndcg_list, [1, 1, 0], 5, 3) == 1.0
    assert one(metrics.ndcg_list, [0, 0, 0], 5, 3) == 0.0


def test_more_relevant_items_than_ranks():
    hits = [1, 1]
    assert one(metrics.recall, hits, 8, 2) == pytest.approx(0.25)
    assert one(metrics.ndcg, hits, 8, 2) == pytest.approx(1.0)
    assert one(metrics.average_precision, hits, 8, 2) == pytest.approx(1.0)


def plain(name, hits, relevant, k):
    hits = hits[:k]
    ideal = min(relevant, k)
    if name == "recall":
        return sum(hits) / relevant
    if name == "precision":
        return sum(hits) / k
    if name == "hr":
        return float(any(hits))
    if name == "mrr":
        return next((1 / (r + 1) for r, h in enumerate(hits) if h), 0.0)
    if name == "ndcg":
        gain = sum(h / math.log2(r + 2) for r, h in enumerate(hits))
        return gain / sum(1 / math.log2(r + 2) for r in range(ideal))
    return sum(h * sum(hits[: r + 1]) / (r + 1) for r, h in enumerate(hits)) / ideal


@given(
    st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=4, max_size=4), st.data()
)
def test_metrics_equal_the_plain_formulas(hits, data):
    extra = data.draw(st.lists(st.integers(0, 30), min_size=4, max_size=4))
    relevant = [max(1, sum(h) + e) for h, e in zip(hits, extra, strict=True)]
    for k in (1, 5, 12):
        for name in metrics.METRICS:
            value = _metric(name, jnp.array(hits), jnp.array(relevant), k)
            expected = [plain(name, h, n, k) for h, n in zip(hits, relevant, strict=True)]
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)
            assert ((value >= 0) & (value <= 1 + 1e-6)).all()


def _metric(name, hits, relevant, k):
    return _jitted(hits, relevant, name=name, k=k)


_jitted = jax.jit(
    lambda hits, relevant, name, k: metrics.METRICS[name](hits, relevant, k),
    static_argnames=("name", "k"),
)
