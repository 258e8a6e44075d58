"""A small catalogue that all models are tried on."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.graphs.graph import bipartite, normalise
from mmjax.blocks.graphs.sparse import operator
from mmjax.models.common.task import Task

N_USERS, N_ITEMS = 6, 5
PAIRS = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [3, 3], [3, 0], [4, 3], [4, 1]], np.int32)


def vectors(model, params, state=None, key=None):
    """Vectors of all users and items, as the model's retriever compares them."""
    variables = {"params": params, **(state or {})}
    return model.retriever.index(variables, jax.random.key(3) if key is None else key)


@pytest.fixture(scope="session")
def graphs():
    """Normalised operators with and without self-loops; user 5 and item 4 have no edge."""
    return {
        loops: operator(normalise(bipartite(PAIRS, N_USERS, N_ITEMS, self_loops=loops)))
        for loops in (False, True)
    }


@pytest.fixture(scope="session")
def task():
    """The catalogue with two modalities; user 5 and item 4 have no pair."""
    rng = np.random.default_rng(0)
    features = {"text": rng.normal(size=(N_ITEMS, 7)), "image": rng.normal(size=(N_ITEMS, 9))}
    return Task(PAIRS, N_USERS, N_ITEMS, {n: x.astype(np.float32) for n, x in features.items()})


@pytest.fixture
def rows():
    """One batch whose last row does not count."""
    return {
        "user": jnp.array([0, 1, 3, 0]),
        "item": jnp.array([0, 2, 3, 4]),
        "negatives": jnp.array([[3], [4], [1], [0]]),
        "where": jnp.array([True, True, True, False]),
    }


@pytest.fixture(scope="session")
def devices_agree():
    """Checks that a loss and its gradient are the same when the batch is split over devices."""

    def check(objective, params, batch, *, devices=2, rtol=1e-4):
        def value_and_grad(batch, axis=None):
            def loss(p):
                return objective.loss(p, {}, batch, jax.random.key(3), axis=axis)[0]

            result = jax.value_and_grad(loss)(params)
            return result if axis is None else jax.lax.pmean(result, axis)

        shards = {name: x.reshape(devices, -1, *x.shape[1:]) for name, x in batch.items()}
        mapped = jax.pmap(lambda b: value_and_grad(b, "data"), axis_name="data")(shards)
        first = jax.tree.map(lambda x: x[0], mapped)
        chex.assert_trees_all_close(first, jax.jit(value_and_grad)(batch), rtol=rtol, atol=1e-6)

    return check
