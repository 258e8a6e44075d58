"""Activation functions by the names of published configurations.  Axes: any."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
from jax import Array

Activation = Literal[
    "relu",
    "leaky_relu",
    "gelu",
    "gelu_new",
    "gelu_pytorch_tanh",
    "quick_gelu",
    "silu",
    "sigmoid",
    "tanh",
]

ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jax.numpy.tanh,
}
"""``gelu`` is exact, by the error function; ``leaky_relu`` has the slope 0.01 below zero."""
