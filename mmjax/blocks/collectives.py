"""Sums and rows across the devices of a mapped step; the identity in a global view.

Axes: b rows of the batch.
"""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Shaped


def axis_size(axis: str | None) -> int:
    """Number of devices on the mapped `axis`; 1 when there is none."""
    return 1 if axis is None else lax.psum(1, axis)


def gather(x: Shaped[Array, "b ..."], axis: str | None) -> Shaped[Array, "n ..."]:
    """All rows of the global batch: `x` itself, or an all-gather over the mapped `axis`.

    In-batch losses (InfoNCE) read their negatives through this, so that they see the same
    candidates on any number of devices.
    """
    return x if axis is None else lax.all_gather(x, axis, tiled=True)


def global_sum(
    x: Float[Array, "b"], axis: str | None, *, where: Shaped[Array, "b"] | None = None
) -> Float[Array, ""]:
    """This device's share of a sum over the global batch, scaled so that the *mean* over the
    mapped axis is that sum.

    Training averages losses and gradients over devices. A loss that is a sum over rows plus a
    term every device computes whole (a penalty on all parameters) then comes out right only if
    the first part is scaled by the number of devices. Rows with `where` False count as zero.
    """
    total = jnp.sum(x if where is None else jnp.where(where, x, 0))
    return total * axis_size(axis)
