"""Batch normalisation: which variance a batch is normalised by, and which one runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.layers.batch_norm import BatchNorm

X = np.array([[1.0, -2.0], [4.0, 0.0], [2.0, 7.0], [99.0, 99.0]], np.float32)
WHERE = np.array([True, True, True, False])


@pytest.mark.parametrize("unbiased", [False, True])
def test_running_variance_has_the_named_divisor(unbiased: bool) -> None:
    layer = BatchNorm(unbiased=unbiased)
    variables = layer.init(jax.random.key(0), jnp.array(X))
    y, state = layer.apply(
        variables, jnp.array(X), train=True, where=jnp.array(WHERE), mutable=["batch_stats"]
    )
    rows = X[:3].astype(np.float64)
    running = 0.9 + 0.1 * rows.var(0, ddof=int(unbiased))
    np.testing.assert_allclose(state["batch_stats"]["var"], running, rtol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.1 * rows.mean(0), rtol=1e-6)
    expected = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)
    np.testing.assert_allclose(y[:3], expected, rtol=1e-5, atol=1e-6)


def test_unbiased_variance_of_one_row_stays_finite() -> None:
    layer = BatchNorm(unbiased=True)
    variables = layer.init(jax.random.key(0), jnp.array(X))
    _, state = layer.apply(variables, jnp.array(X[:1]), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(state["batch_stats"]["var"], [0.9, 0.9], rtol=1e-6)
