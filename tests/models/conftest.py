"""A small catalogue that all models are tried on."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.graph import bipartite, normalise
from mmjax.blocks.sparse import operator

N_USERS, N_ITEMS = 6, 5
PAIRS = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [3, 3], [3, 0], [4, 3], [4, 1]], np.int32)


@pytest.fixture(scope="session")
def graphs():
    """Normalised operators with and without self-loops; user 5 and item 4 have no edge."""
    return {
        loops: operator(normalise(bipartite(PAIRS, N_USERS, N_ITEMS, self_loops=loops)))
        for loops in (False, True)
    }


@pytest.fixture
def rows():
    """One batch whose last row does not count."""
    return {
        "user": jnp.array([0, 1, 3, 0]),
        "item": jnp.array([0, 2, 3, 4]),
        "negatives": jnp.array([[3], [4], [1], [0]]),
        "where": jnp.array([True, True, True, False]),
    }
