"""A function of a few rows applied to many, some at a time.  Axes: n rows, b rows of a step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def in_steps(step: Callable[[Any], Any], rows: Any, *, size: int) -> Any:
    """``step`` of all rows, `size` of them at a time as one program.

    Args:
        step: takes the tree of `rows` with b of the n rows, and gives a tree of arrays whose first
            axis is those rows.
        rows: tree of arrays with the same first axis, of one row or more.
        size: most rows of a step.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    size = min(n, size)
    steps = -(-n // size)
    # Rows that fill up the last step repeat earlier ones and are cut off.
    order = jnp.resize(jnp.arange(n), (steps, size))
    found = lax.map(lambda index: step(jax.tree.map(lambda x: x[index], rows)), order)
    return jax.tree.map(lambda x: x.reshape(steps * size, *x.shape[2:])[:n], found)
