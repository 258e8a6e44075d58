"""Comparison of how widely parameters are spread when they start."""

import jax
import numpy as np
import pytest

from tests.parity.common.comparison import Ours, tree
from tests.parity.common.records import Record


def assert_starts_alike(ours: Ours, spreads: Record, *, biases_at_zero: bool = False) -> None:
    """Compare the deviations of our fresh parameters with those of the authors' code.

    A normal distribution of ours is cut off at two deviations, but has the same deviation.

    Args:
        ours: our model of a case.
        spreads: deviation and shape of every parameter, by official names.
        biases_at_zero: ours start at zero, whatever the authors' do.
    """
    constant = {k: np.full(x[1:].astype(int), x[0]) for k, x in spreads.items()}
    wanted = jax.tree.leaves(tree(ours.names, constant))
    init = jax.jit(ours.objective.init)
    found = init(jax.random.key(0))["params"]
    found = jax.tree_util.tree_leaves_with_path(found)
    for (path, x), want in zip(found, wanted, strict=True):
        assert x.shape == want.shape, jax.tree_util.keystr(path)
        deviation, want = float(np.std(x)), float(want.mean())
        if biases_at_zero and "bias" in str(path[-1]):
            want = 0.0
        near = want * (0.07 + 2.5 / np.sqrt(x.size))
        assert deviation == pytest.approx(want, abs=near + 1e-7), jax.tree_util.keystr(path)
