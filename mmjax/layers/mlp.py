"""A plain multi-layer perceptron.  Axes: *n any, d inputs, w outputs."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.layers.activations import ACTIVATIONS, Activation
from mmjax.layers.linear import Linear


class MLP(nn.Module):
    """Linear layers of the given widths with an activation between them, none at the end.

    Attributes:
        widths: outputs of the layers, one or more.
        activation: a name of `ACTIVATIONS`.
    """

    widths: tuple[int, ...]
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, x: Float[Array, "*n d"]) -> Float[Array, "*n w"]:
        """Map the last axis."""
        for n, width in enumerate(self.widths):
            x = Linear(width, name=f"layer_{n + 1}")(x if n == 0 else self._act(x))
        return x

    def _act(self, x: Array) -> Array:
        return ACTIVATIONS[self.activation](x)
