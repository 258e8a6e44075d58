"""Item features in the width of a model.  Axes: i items, w width."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.layers.linear import Linear


class Content(nn.Module):
    """``W_m x_m + b_m`` for each modality m, with the tables x_m constant or trained.

    Trained tables are parameters ``table_<m>`` in float32 that start at the given features, as
    MMRec's LATTICE, FREEDOM, BM3, MGCN, SMORE and PGL have them: a parameter for every entry,
    many more than the rest of such a model.

    Attributes:
        width: width w of the output.
        trainable: whether the tables are parameters.
        kernel_init: initialiser of W_m, see `Linear`.
    """

    width: int
    trainable: bool = True
    kernel_init: Any = None

    @nn.compact
    def __call__(
        self, features: Mapping[str, Float[Array, "i _"]]
    ) -> dict[str, Float[Array, "i w"]]:
        """float32 projections by modality."""
        return {name: self._project(name, x) for name, x in features.items()}

    def _project(self, name: str, x: Array) -> Array:
        if self.trainable:
            x = self.param(f"table_{name}", lambda _: x.astype(jnp.float32))
        return Linear(self.width, kernel_init=self.kernel_init, name=f"project_{name}")(x)
