"""The fusion benchmark on small layers."""

import jax
import jax.numpy as jnp
from numpy.testing import assert_allclose

from experiments.benchmarks.fusion import ours as fusion
from mmjax.blocks.fusion.item_specific import item_mlp

SMALL = fusion.Options(items=50, widths=(12, 8, 4), meta_width=2, rank=3, ranks=(1,), rounds=1)


def test_writes_its_figures(run_tiny):
    record, text = run_tiny(fusion)
    rows = {row["name"]: row for row in record["rows"]}
    assert set(rows) == {"static", "full tensor", "cp, rank 1", "cp, rank 3"}
    assert rows["static"]["parameters"] == 12 * 8 + 8 * 4
    assert rows["full tensor"]["parameters"] == 3 * (12 * 8 + 8 * 4)
    assert rows["cp, rank 3"]["parameters"] == 128 + 3 * (12 + 8 + 2) + 3 * (8 + 4 + 2)
    assert all(row["median_ms"] > 0 for row in rows.values())
    assert record["weights_of_every_item_mib"] > 50 * 12 * 8 * 4 / 2**20
    assert "not run" in text


def test_the_definition_is_what_is_measured():
    x, s = (jax.random.normal(jax.random.key(n), (50, w)) for n, w in ((0, 12), (1, 2)))
    weights = fusion.layers(SMALL, "full", 0)
    expected = jax.jit(fusion.every_weight)(x, s, weights)
    assert_allclose(item_mlp(x, s, weights), expected, rtol=1e-3, atol=1e-4)
    assert jnp.abs(expected).max() > 0.1
