"""A linear layer that starts as PyTorch's does.  Axes: d inputs, w outputs."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float


def uniform(inputs: int) -> Any:
    """Initialiser of weights and biases: U(-1, 1) over the square root of the inputs."""
    bound = inputs**-0.5

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

    return init


class Linear(nn.Module):
    """``x W + b`` with W and b drawn by `uniform`.

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
        init = uniform(x.shape[-1])
        y = x @ self.param("kernel", self.kernel_init or init, (x.shape[-1], self.width))
        if not self.bias:
            return y
        return y + jnp.broadcast_to(self.param("bias", init, (self.width,)), y.shape)
