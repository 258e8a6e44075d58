"""Filters on the spectrum of feature rows (SMORE, R. Ong and A. Khong, arXiv 2412.14978).

The spectrum runs over the features of a row, not over the nodes of a graph. Complex filters are
real arrays whose last axis is (real, imaginary), so that an optimiser sees real numbers.

Axes: n rows, d features, f = d // 2 + 1 frequencies.
"""

import functools
import operator
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Complex, Float


def spectrum(x: Float[Array, "n d"]) -> Complex[Array, "n f"]:
    """Orthonormal Fourier transform of every row, non-negative frequencies; float32 inside.

    The frequencies left out mirror these: their conjugates make the squared norm whole.
    """
    return jnp.fft.rfft(x.astype(jnp.float32), axis=1, norm="ortho")


def spectral_filter(
    rows: Sequence[Float[Array, "n d"]], weight: Float[Array, "f 2"]
) -> Float[Array, "n d"]:
    """Inverse transform of ``weight * the product of the spectra``.

    One array is filtered (denoising); the spectra of several are multiplied, which
    is their circular convolution over ``sqrt(d)`` each time (fusion). The weight (1, 0)
    leaves a single array as it is.

    Raises:
        ValueError: no array.
    """
    if not rows:
        raise ValueError("spectral_filter needs at least one array")
    product = functools.reduce(operator.mul, (spectrum(x) for x in rows))
    filtered = product * lax.complex(weight[:, 0], weight[:, 1])[None, :]
    return jnp.fft.irfft(filtered, n=rows[0].shape[1], axis=1, norm="ortho").astype(rows[0].dtype)
