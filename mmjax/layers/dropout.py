"""Dropout from the random stream of a module.  Axes: any."""

from flax import linen as nn
from jax import Array

from mmjax.blocks.common.hash_dropout import dropout


def module_dropout(module: nn.Module, x: Array, rate: float, train: bool) -> Array:
    """Dropout of `x` from the stream "dropout" of a bound module; `x` itself outside training.

    Raises:
        ValueError: `rate` is not in [0, 1), and `train` is set.
    """
    return dropout(module.make_rng("dropout"), x, rate) if train and rate else x
