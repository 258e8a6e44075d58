"""Batch normalisation that is the same on any number of devices.  Axes: b rows, d features."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Bool, Float

from mmjax.blocks.common.collectives import over_devices


class BatchNorm(nn.Module):
    """``scale (x - mean) / sqrt(variance + eps) + bias`` over the rows that count.

    Flax's own averages the devices' means, which is another number where the last batch leaves
    devices unequally many rows. Running statistics are in the collection "batch_stats".

    Attributes:
        momentum: share of the old running statistics that a batch leaves.
        eps: added to the variance.
        unbiased: the running variance follows ``sum (x - mean)^2 / (n - 1)``, as PyTorch's does;
            False follows ``/ n``, as Flax's does. A batch is normalised by ``/ n`` in both. Of a
            single row, whose unbiased variance does not exist, the running one follows 0.
    """

    momentum: float = 0.9
    eps: float = 1e-5
    unbiased: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b d"],
        *,
        train: bool = False,
        where: Bool[Array, "b"] | None = None,
        axis: str | None = None,
    ) -> Float[Array, "b d"]:
        """Normalise rows.

        Args:
            x: the rows.
            train: by their own statistics, which the running ones then follow.
            where: rows that count; None means all.
            axis: mapped axis over which the batch is split, if any.
        """
        d = x.shape[1]
        scale = self.param("scale", nn.initializers.ones, (d,))
        bias = self.param("bias", nn.initializers.zeros, (d,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (d,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (d,))
        mean, var = running_mean.value, running_var.value
        if train:
            weight = jnp.ones((len(x), 1)) if where is None else where[:, None].astype(x.dtype)
            count = jnp.maximum(over_devices(weight.sum(), axis), 1.0)
            mean = over_devices((weight * x).sum(0), axis) / count
            var = over_devices((weight * jnp.square(x - mean[None])).sum(0), axis) / count
            if not self.is_initializing():
                keep = self.momentum
                running_mean.value = keep * running_mean.value + (1 - keep) * mean
                rows = jnp.maximum(count - 1, 1.0) if self.unbiased else count
                running_var.value = keep * running_var.value + (1 - keep) * var * (count / rows)
        factor = scale * lax.rsqrt(var + self.eps)
        return (x - mean[None]) * factor[None] + bias[None]
