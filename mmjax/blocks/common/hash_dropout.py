"""Inverted dropout whose random draws cost a few multiplications each.  Axes: any."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Key


def keep(key: Key[Array, ""], shape: tuple[int, ...], rate: float) -> Bool[Array, "*n"]:
    """True with probability ``1 - rate``, in each of up to 2^32 places by itself.

    A place's draw is a hash of its number and the key, pcg3d (M. Jarzynski, M. Olano, JCGT 9(3),
    2020), which a compiler joins with whatever reads it: nothing is stored, and on a CPU a mask
    costs a small part of one by `jax.random.bits`. Not for cryptography.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate must lie in [0, 1), got {rate}")
    seed = jax.random.key_data(key).ravel()
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    x, y, z = (
        v * jnp.uint32(1_664_525) + jnp.uint32(1_013_904_223) for v in (place, seed[0], seed[-1])
    )
    x, y, z = _stir(x, y, z)
    *_, z = _stir(*(v ^ (v >> 16) for v in (x, y, z)))
    return z <= jnp.uint32(round((1.0 - rate) * 2**32) - 1)


def _stir(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    x = x + y * z
    y = y + z * x
    return x, y, z + x * y


def dropout(key: Key[Array, ""], x: Float[Array, "*n"], rate: float) -> Float[Array, "*n"]:
    """Zero each entry with probability `rate`, scale the others by ``1 / (1 - rate)``.

    `rate` is static; 0 returns `x` itself.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if rate == 0.0:
        return x
    kept = keep(key, x.shape, rate)
    return jnp.where(kept, x / (1.0 - rate), jnp.zeros((), x.dtype)).astype(x.dtype)
