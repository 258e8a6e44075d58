"""The code nearest to a vector, the vectors of codes and sums over the rows of a code.

A code of -1 stands for none: it reads zeros and is counted nowhere.

Axes: b rows, k codes of a codebook, d features.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.blocks.common.projection import l2_normalise

Codebooks = Sequence[Float[Array, "_ d"]]
"""One codebook a level, of any sizes; the same array at every level is a shared codebook."""
Assign = Callable[[Float[Array, "b d"], Float[Array, "k d"]], Int[Array, "b"]]
"""How rows choose a code of a codebook: `nearest`, or a balanced choice."""

# Scores held at a time: what fits a core's cache, and a bound on memory where there is none.
_CPU_ENTRIES = 1 << 16
_ENTRIES = 1 << 27


def squared_distances(
    x: Float[Array, "*b d"], codebook: Float[Array, "k d"]
) -> Float[Array, "*b k"]:
    """``|x|^2 - 2 x.c + |c|^2`` in float32 at full precision, at least 0.

    Both are read from the codebook's mean, so that what all rows share cancels exactly.
    """
    x, codebook = _centred(x, codebook)
    products = jnp.einsum("...d,kd->...k", x, codebook, precision=lax.Precision.HIGHEST)
    squares = jnp.square(codebook).sum(1).reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.maximum(jnp.square(x).sum(-1, keepdims=True) - 2 * products + squares, 0)


def _centred(x: Array, codebook: Array) -> tuple[Array, Array]:
    """Both less the codebook's mean, in float32: the squares of a common offset, which may be far
    larger than any distance, then never enter a sum.
    """
    x, codebook = x.astype(jnp.float32), codebook.astype(jnp.float32)
    # The distances do not depend on it, so no gradient flows through it.
    centre = lax.stop_gradient(codebook.mean(0))
    return x - centre.reshape((1,) * (x.ndim - 1) + (-1,)), codebook - centre[None, :]


def nearest(
    x: Float[Array, "b d"], codebook: Float[Array, "k d"], *, cosine: bool = False
) -> Int[Array, "b"]:
    """The code of least squared distance, or of largest cosine, for every row; ties lowest first.

    Products are float32 at full precision whatever the platform's default, so that codes do not
    differ between training and export. Scores exist for a block of rows at a time. No gradient.
    """
    x, codebook = lax.stop_gradient((x.astype(jnp.float32), codebook.astype(jnp.float32)))
    if cosine:
        x, codebook = l2_normalise(x), l2_normalise(codebook)
        offset = jnp.zeros(len(codebook))
    else:
        x, codebook = _centred(x, codebook)
        offset = 0.5 * jnp.square(codebook).sum(1)
    return lax.platform_dependent(
        x,
        codebook,
        offset,
        cpu=partial(_by_block, entries=_CPU_ENTRIES),
        default=partial(_by_block, entries=_ENTRIES),
    )


def _by_block(x: Array, codebook: Array, offset: Array, *, entries: int) -> Array:
    rows, block = x.shape[0], max(1, entries // len(codebook))
    if rows <= block:
        return _lowest(x, codebook, offset)
    blocks = -(-rows // block)
    padded = jnp.pad(x, ((0, blocks * block - rows), (0, 0))).reshape(blocks, block, x.shape[1])
    return lax.map(lambda part: _lowest(part, codebook, offset), padded).reshape(-1)[:rows]


def _lowest(x: Array, codebook: Array, offset: Array) -> Array:
    # Codes first, and two plain minima: XLA CPU vectorises these, not an argmin.
    scores = offset[:, None] - jnp.dot(codebook, x.T, precision=lax.Precision.HIGHEST)
    place = lax.broadcasted_iota(jnp.int32, scores.shape, 0)
    last = jnp.int32(len(codebook) - 1)
    return jnp.where(scores == scores.min(0)[None, :], place, last).min(0)


@jax.custom_vjp
def lookup(codebook: Float[Array, "k d"], codes: Int[Array, "b"]) -> Float[Array, "b d"]:
    """The codebook's row of each code, zeros for -1; its gradient is `sums_by_code`.

    Codes must lie in [-1, k). Reverse mode only.
    """
    rows = codebook.at[jnp.maximum(codes, 0)].get(mode="promise_in_bounds")
    return jnp.where((codes >= 0)[:, None], rows, jnp.zeros((), rows.dtype))


def _lookup_fwd(codebook: Array, codes: Array) -> tuple[Array, tuple[Array, Array]]:
    return lookup(codebook, codes), (codes, codebook[:, :0])


def _lookup_bwd(kept: tuple[Array, Array], g: Array) -> tuple[Array, None]:
    codes, like = kept
    return sums_by_code(g, codes, size=like.shape[0]).astype(like.dtype), None


lookup.defvjp(_lookup_fwd, _lookup_bwd)


def sums_by_code(
    x: Float[Array, "b d"], codes: Int[Array, "b"], *, size: int
) -> Float[Array, "k d"]:
    """Sum of the rows of each code, in float32; codes of -1 are left out.

    On a CPU one pass over the rows. Elsewhere a product with the one-hot codes while they are
    few: a scatter into so few rows is slow there and its order of additions is not fixed.
    """
    x = x.astype(jnp.float32)
    one_pass = partial(_sums_by_scatter, size=size)
    if x.shape[0] * size > _ENTRIES:
        return one_pass(x, codes)
    by_product = partial(_sums_by_product, size=size)
    return lax.platform_dependent(x, codes, cpu=one_pass, default=by_product)


def _sums_by_scatter(x: Array, codes: Array, *, size: int) -> Array:
    place = jnp.where(codes < 0, size, codes)
    return jnp.zeros((size, x.shape[1]), x.dtype).at[place].add(x, mode="drop")


def _sums_by_product(x: Array, codes: Array, *, size: int) -> Array:
    return jnp.dot(jax.nn.one_hot(codes, size).T, x, precision=lax.Precision.HIGHEST)


def counts_by_code(codes: Int[Array, "b"], *, size: int) -> Float[Array, "k"]:
    """How many rows have each code, as float32; codes of -1 are left out."""
    return sums_by_code(jnp.ones((codes.shape[0], 1)), codes, size=size)[:, 0]


def each_level(assign: Assign | Sequence[Assign], codebooks: Codebooks) -> list[Assign]:
    """One way to choose codes for every codebook.

    Raises:
        ValueError: there is no codebook, or there are several ways, but not one for each.
    """
    ways = [assign] * len(codebooks) if callable(assign) else list(assign)
    if not codebooks or len(ways) != len(codebooks):
        raise ValueError(
            f"{len(codebooks)} codebooks and {len(ways)} ways to choose codes: give one codebook "
            "or more, and one way for all or one for each"
        )
    return ways
