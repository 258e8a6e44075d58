"""Rows of a table as training data."""

import jax
import numpy as np
import pytest

from mmjax.training.sources.pairs import rows_source


def _epoch(source, seed):
    plan = source.epoch(jax.random.key(seed))
    steps = range(source.steps_per_epoch)
    return [source.batch(plan, i, jax.random.key(9)) for i in steps]


@pytest.mark.parametrize(("n", "size", "steps"), [(10, 4, 3), (8, 4, 2), (3, 100, 1), (1, 1, 1)])
def test_every_row_counts_once_an_epoch(n, size, steps):
    source = rows_source(n, size)
    assert source.steps_per_epoch == steps
    batches = _epoch(source, 0)
    assert {b["row"].shape for b in batches} == {(min(n, size),)}
    rows = np.concatenate([b["row"][b["where"]] for b in batches])
    np.testing.assert_array_equal(np.sort(rows), np.arange(n))
    assert all(((b["row"] >= 0) & (b["row"] < n)).all() for b in batches)


def test_epochs_have_orders_of_their_own():
    one, two = (np.concatenate([b["row"] for b in _epoch(rows_source(50, 10), s)]) for s in (0, 1))
    assert (one != two).any()


@pytest.mark.parametrize(("n", "size"), [(0, 4), (4, 0)])
def test_sizes_that_cannot_be(n, size):
    with pytest.raises(ValueError, match="both must be 1 or more"):
        rows_source(n, size)
