"""The position-wise network of a Transformer layer.  Axes: *n any, m width, f hidden width."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.layers.activations import ACTIVATIONS, Activation
from mmjax.layers.dropout import module_dropout


class FeedForward(nn.Module):
    """``a(x W_in) W_out``; gated ``(a(x W_gate) * x W_in) W_out`` (N. Shazeer, arXiv 2002.05202).

    Attributes:
        hidden: width f between the maps.
        activation: a, a name of `ACTIVATIONS`.
        gated: multiply by a second map.
        bias: whether the maps have biases.
        rate: dropout rate of the hidden layer, in [0, 1).
        kernel_init: initialiser of the maps.
        dtype: of the computation; parameters are float32.
    """

    hidden: int
    activation: Activation = "gelu"
    gated: bool = False
    bias: bool = True
    rate: float = 0.0
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*n m"], *, train: bool = False) -> Float[Array, "*n m"]:
        """Map the last axis; `train` draws from the "dropout" stream."""
        dense = partial(
            nn.Dense, use_bias=self.bias, kernel_init=self.kernel_init, dtype=self.dtype
        )
        act = ACTIVATIONS[self.activation]
        hidden = dense(self.hidden, name="in")(x)
        hidden = act(dense(self.hidden, name="gate")(x)) * hidden if self.gated else act(hidden)
        return dense(x.shape[-1], name="out")(module_dropout(self, hidden, self.rate, train))
