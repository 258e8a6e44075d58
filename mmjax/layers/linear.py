"""A linear layer that starts as PyTorch's does.  Axes: d inputs, w outputs."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float


class Linear(nn.Module):
    """``x W + b`` with W and b drawn from U(-1, 1) over the square root of the inputs.

    What `torch.nn.Linear` does where a paper's code names no initialiser; Flax starts otherwise.

    Attributes:
        width: number of outputs w.
        bias: add b.
        kernel_init: initialiser of W, where a paper's code names one (b starts as ever).
    """

    width: int
    bias: bool = True
    kernel_init: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*n d"]) -> Float[Array, "*n w"]:
        """Map the last axis."""
        bound = x.shape[-1] ** -0.5

        def uniform(key: Array, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        y = x @ self.param("kernel", self.kernel_init or uniform, (x.shape[-1], self.width))
        if not self.bias:
            return y
        return y + jnp.broadcast_to(self.param("bias", uniform, (self.width,)), y.shape)
