"""Sums and rows across the devices of a mapped step; plain sums and the identity without one.

Axes: b rows of this device's share of the batch, n rows of the whole batch.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Key, Num, Shaped

T = TypeVar("T")


def gather(x: Shaped[Array, "b ..."], axis: str | None) -> Shaped[Array, "n ..."]:
    """All rows of the global batch: `x` itself, or an all-gather over the mapped `axis`.

    In-batch losses (InfoNCE) read their negatives through this, so that they see the same
    candidates on any number of devices.
    """
    return x if axis is None else lax.all_gather(x, axis, tiled=True)


def own_key(key: Key[Array, ""], axis: str | None) -> Key[Array, ""]:
    """A key of this device alone: `key` itself, or with the device's place on the mapped `axis`.

    For noise of the rows of a batch, such as dropout, which would else repeat on every device.
    Noise of what all devices share, such as the nodes of a graph, takes `key` as it is.
    """
    return key if axis is None else jax.random.fold_in(key, lax.axis_index(axis))


def over_devices(tree: T, axis: str | None) -> T:
    """Every array of `tree` summed over the devices of the mapped `axis`, entry by entry."""
    return tree if axis is None else lax.psum(tree, axis)


def global_mean(
    x: Num[Array, "b ..."], axis: str | None, *, where: Bool[Array, "b"]
) -> Num[Array, ""]:
    """Mean over the rows of the global batch that count: `global_sum` over their number.

    Entries of a row are summed. Zero where no row counts.
    """
    count = global_sum(where.astype(jnp.float32), axis)
    return global_sum(x, axis, where=where) / jnp.maximum(count, 1.0)


def global_sum(
    x: Num[Array, "b ..."], axis: str | None, *, where: Bool[Array, "b"] | None = None
) -> Num[Array, ""]:
    """Sum over the rows of the global batch, the same on every device of the mapped `axis`.

    Narrow floats are summed in float32, and so is the result. Rows with `where` False count as
    zero. Inside a loss whose *gradient* the caller averages over the axis this gives the gradient
    of the global sum: the transpose of `psum` is `psum`.
    """
    if where is not None:
        x = jnp.where(where.reshape(where.shape + (1,) * (x.ndim - 1)), x, 0)
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return over_devices(jnp.sum(x), axis)
