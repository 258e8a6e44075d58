"""Batched functions applied to long arrays in chunks.  Axes: n rows, b rows of a chunk."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def map_batched(function: Callable[[Any], Any], rows: Any, *, size: int) -> Any:
    """Apply a batched function to a long array in chunks of fixed size (`lax.map`).

    Args:
        function: takes the tree of `rows` with b of the n rows, and gives a tree of arrays whose
            first axis is those rows.
        rows: tree of arrays with the same first axis, of one row or more.
        size: most rows of a chunk.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    size = min(n, size)
    steps = -(-n // size)
    # Rows that fill up the last step repeat earlier ones and are cut off.
    order = jnp.resize(jnp.arange(n), (steps, size))
    out = lax.map(lambda index: function(jax.tree.map(lambda x: x[index], rows)), order)
    return jax.tree.map(lambda x: x.reshape(steps * size, *x.shape[2:])[:n], out)
