"""Learned bias of attention by relative position.  Axes: n buckets, h heads, q queries, k keys."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.attention.relative import distance_bias, pairwise_bias


class RelativeBias(nn.Module):
    """T5's bias: one number a head for each bucket of distances, shared by the layers of a stack.

    Attributes:
        heads: number of heads h.
        buckets: number of buckets n, for both directions together.
        max_distance: distance from which on all share a bucket.
        bidirectional: keys ahead have buckets of their own; False where they are masked.
        kernel_init: initialiser of the table ``[n, h]``.
    """

    heads: int
    buckets: int = 32
    max_distance: int = 128
    bidirectional: bool = True
    kernel_init: Any = nn.initializers.normal(0.02)

    def setup(self) -> None:
        self.table = self.param("table", self.kernel_init, (self.buckets, self.heads))

    def __call__(self, n_queries: int, n_keys: int) -> Float[Array, "1 h q k"]:
        """Bias of all queries against all keys, both counted from position 0."""
        return pairwise_bias(self.table, n_queries, n_keys, **self._kind())

    def at(self, position: int | Int[Array, ""], n_keys: int) -> Float[Array, "1 1 h 1 k"]:
        """Bias of the query at `position` against keys 0 to n_keys - 1, for every beam."""
        bias = distance_bias(self.table, jnp.arange(n_keys) - position, **self._kind())
        return bias.T[None, None, :, None]

    def _kind(self) -> dict[str, Any]:
        return {"max_distance": self.max_distance, "bidirectional": self.bidirectional}
