"""The two normalisations of Transformers.  Axes: d features."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

Norm = Literal["layer", "rms"]


def norm(
    kind: Norm,
    eps: float,
    *,
    affine: bool = True,
    dtype: Any = jnp.float32,
    name: str | None = None,
) -> nn.Module:
    """A module that normalises the last axis, in float32 whatever comes in.

    Args:
        kind: ``layer`` takes off the mean and divides by the deviation (parameters ``scale`` and
            ``bias``); ``rms`` divides by the root of the mean square (``scale`` alone).
        eps: added to the variance or to the mean square.
        affine: whether there are parameters at all.
        dtype: of the result.
        name: of the module, in a compact method.
    """
    if kind == "rms":
        return nn.RMSNorm(epsilon=eps, use_scale=affine, dtype=dtype, name=name)
    return nn.LayerNorm(
        epsilon=eps,
        use_scale=affine,
        use_bias=affine,
        use_fast_variance=False,  # mean of squares less square of mean: too coarse for eps 1e-12
        dtype=dtype,
        name=name,
    )
