"""Outputs that all encoders share.

Axes: b images or texts, s positions, m width, p width of a projection.
"""

from typing import Literal, NamedTuple

from jax import Array
from jaxtyping import Float

Pooling = Literal["mean", "cls", "own"]
"""One vector out of a model's: mean over tokens or patches, the first token's, or the one that the
model itself defines: projected where it has a projection, pooled otherwise."""


class EncoderOutput(NamedTuple):
    """States of all layers, and one vector where the model defines it."""

    hidden: tuple[Float[Array, "b s m"], ...]
    """Input of the first layer, then the output of each; none of them behind the last norm."""
    last: Float[Array, "b s m"]
    """Output of the last layer, behind the last norm where that is for all positions."""
    pooled: Float[Array, "b m"] | None = None
    """One vector an image or text, where the model defines it."""
    projected: Float[Array, "b p"] | None = None
    """That vector in the space that two towers share."""
