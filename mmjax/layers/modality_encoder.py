"""Two-layer encoder of frozen item features.  Axes: i items, d input features."""

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.hash_dropout import dropout


class ModalityEncoder(nn.Module):
    """Dropout, Linear, BatchNorm, PReLU, Dropout, Linear, BatchNorm, PReLU over all items at once.

    Linear weights are Xavier-uniform with zero bias; PReLU has one shared slope that starts at
    0.25; BatchNorm has eps 1e-5 and momentum 0.1 in PyTorch's sense (MIG-GT, arXiv 2412.13994).
    Its running variance is Flax's, of divisor n, where PyTorch's has n - 1: with n items the two
    differ by the factor (n - 1) / n in what a batch adds.

    Attributes:
        hidden: width of the hidden layer.
        width: width of the output.
        input_dropout: dropout rate of the raw features, in [0, 1).
        hidden_dropout: dropout rate of the hidden layer, in [0, 1).
    """

    hidden: int
    width: int
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "i d"], *, train: bool = False) -> Float[Array, "i w"]:
        """Encode `x`; `train` draws from the "dropout" stream and updates "batch_stats"."""
        for name, width, rate in (
            ("hidden", self.hidden, self.input_dropout),
            ("output", self.width, self.hidden_dropout),
        ):
            if train:
                x = dropout(self.make_rng("dropout"), x, rate)
            x = nn.Dense(width, kernel_init=jax.nn.initializers.xavier_uniform(), name=name)(x)
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                use_fast_variance=False,
                name=f"{name}_norm",
            )(x)
            x = nn.PReLU(negative_slope_init=0.25, name=f"{name}_slope")(x)
        return x
