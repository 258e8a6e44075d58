"""Patches of images as vectors.

Axes: b images, y rows and x columns of pixels, c channels, s patches, m width, p rows and q columns
of a patch.
"""

from typing import Any

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax import Array
from jaxtyping import Float


class Patches(nn.Module):
    """One vector a patch: a convolution whose stride is its size, row by row.

    Attributes:
        image: rows and columns of an image.
        patch: rows and columns of a patch.
        channels: channels of an image.
        width: width m of a vector.
        bias: whether there is one.
        dtype: of the computation.
    """

    image: tuple[int, int]
    patch: tuple[int, int]
    channels: int
    width: int
    bias: bool = True
    dtype: Any = jnp.float32

    @property
    def count(self) -> int:
        """Patches of an image; pixels that fill none are left out."""
        return (self.image[0] // self.patch[0]) * (self.image[1] // self.patch[1])

    @nn.compact
    def __call__(self, pixels: Float[Array, "b y x c"]) -> Float[Array, "b s m"]:
        """Cut and map.

        Raises:
            ValueError: images of another size than the model's.
        """
        wanted = (*self.image, self.channels)
        if pixels.shape[1:] != wanted:
            raise ValueError(f"images of shape {pixels.shape[1:]}, the model reads {wanted}")
        cut = nn.Conv(
            self.width,
            self.patch,
            self.patch,
            padding="VALID",
            use_bias=self.bias,
            dtype=self.dtype,
            conv_general_dilated=_by_product,
            name="conv",
        )(pixels)
        return rearrange(cut, "b rows columns m -> b (rows columns) m")


def _by_product(x: Array, kernel: Array, strides: tuple[int, int], *_: Any, **how: Any) -> Array:
    """The convolution of patches that do not overlap, as one matrix product.

    On CPU, within a loop, XLA takes 70 times as long for the gradient of the convolution.
    """
    p, q = strides
    cut = x[:, : x.shape[1] // p * p, : x.shape[2] // q * q]
    flat = rearrange(cut, "b (rows p) (columns q) c -> b rows columns (p q c)", p=p, q=q)
    weights = rearrange(kernel, "p q c m -> (p q c) m")
    return jnp.dot(flat, weights, precision=how.get("precision"))
