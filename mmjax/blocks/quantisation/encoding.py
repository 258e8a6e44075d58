"""Codes of vectors and vectors of codes, without gradients in mind; `quantize` is for training.

Axes: b rows, d features, l levels, w partial codes of a beam.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation.codes import (
    Assign,
    Codebooks,
    each_level,
    lookup,
    nearest,
    squared_distances,
)


def encode(
    x: Float[Array, "b d"],
    codebooks: Codebooks,
    *,
    assign: Assign | Sequence[Assign] = nearest,
    normalise: bool = False,
) -> Int[Array, "b l"]:
    """The codes of `quantise`, without anything to differentiate.

    `normalise` scales every residual to length one before its level, as GRID's residual k-means
    does; `decode` does not undo that.

    Raises:
        ValueError: no codebook, or a number of `assign` that is not the number of levels.
    """
    codes = []
    for codebook, choose in zip(codebooks, each_level(assign, codebooks), strict=True):
        x = l2_normalise(x) if normalise else x
        codes.append(choose(x, codebook))
        x = x - lookup(codebook, codes[-1]).astype(x.dtype)
    return jnp.stack(codes, 1)


def decode(codes: Int[Array, "b l"], codebooks: Codebooks) -> Float[Array, "b d"]:
    """The sum of each row's codebook entries; a code of -1 adds nothing.

    Raises:
        ValueError: there are more levels than codebooks.
    """
    if not 0 < codes.shape[1] <= len(codebooks):
        raise ValueError(
            f"decode: codes of {codes.shape[1]} levels, but {len(codebooks)} codebooks"
        )
    rows = [lookup(c, codes[:, m]) for m, c in enumerate(codebooks[: codes.shape[1]])]
    return sum(rows[1:], rows[0])


def beam_encode(
    x: Float[Array, "b d"], codebooks: Codebooks, *, width: int
) -> tuple[Int[Array, "b w l"], Float[Array, "b w"]]:
    """Codes of the smallest final error that a beam of `width` partial codes finds, best first.

    Returns codes and squared errors. Width 1 is the greedy choice of `encode`; with a width of
    the product of the sizes all codes are compared. There are min(width, product of sizes) rows.

    Raises:
        ValueError: `width` is below 1.
    """
    if width < 1:
        raise ValueError(f"beam_encode: width = {width}; it must be 1 or more")
    rows = x.shape[0]
    residual = x.astype(jnp.float32)[:, None]
    codes = jnp.zeros((rows, 1, 0), jnp.int32)
    errors = jnp.zeros((rows, 1))
    for codebook in codebooks:
        size = codebook.shape[0]
        distances = squared_distances(residual, codebook).reshape(rows, -1)
        errors, place = lax.top_k(-distances, min(width, distances.shape[1]))
        parent, code = place // size, place % size
        kept = jnp.take_along_axis(codes, parent[..., None], 1)
        codes = jnp.concatenate([kept, code[..., None]], 2)
        residual = jnp.take_along_axis(residual, parent[..., None], 1) - codebook[code]
    return codes, -errors
