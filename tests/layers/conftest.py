"""Short cuts: programs that compile fast, and variables without running an initialiser."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def drawn():
    """Variables of a module for some inputs, every entry from a normal distribution."""

    def draw(module, *args, **kwargs):
        shapes = jax.eval_shape(partial(module.init, **kwargs), jax.random.key(0), *args)
        leaves, tree = jax.tree.flatten(shapes)
        rng = np.random.default_rng(0)
        values = [jnp.asarray(rng.normal(0, 0.4, x.shape).astype(np.float32)) for x in leaves]
        return jax.tree.unflatten(tree, values)

    return draw
