"""Item-specific fusion: layers whose weights a hyper-network makes for every item.

The weights of a layer are ``W = M + T x_3 s``, a static matrix plus a combination of the slices
of a third-order tensor by the item's meta information s. No W is ever made: each form below is a
few products with matrices that all items share. Every function takes one item, or items along
leading axes; both ways, and `jax.vmap` of the first, compute the same.

H. Liu et al., MetaMMF, TOIS 2024, arXiv 2501.07110 (section 2 of its method).

Axes: p inputs, q outputs, k entries of the meta information, r rank.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


class CP(NamedTuple):
    """A third-order tensor as a sum of r outer products: ``T[k, p, q] = sum_r C_rk A_pr B_rq``."""

    rows: Float[Array, "p r"]
    """A."""
    columns: Float[Array, "r q"]
    """B."""
    modes: Float[Array, "r k"]
    """C."""


class Layer(NamedTuple):
    """One item-specific layer; what is None counts as zero."""

    static: Float[Array, "p q"] | None
    """M."""
    dynamic: Float[Array, "k p q"] | CP | None
    """T, whole or factored."""


def full_linear(
    h: Float[Array, "*b p"], s: Float[Array, "*b k"], tensor: Float[Array, "k p q"]
) -> Float[Array, "*b q"]:
    """``h (T x_3 s) = sum_k s_k (h T_k)``: k static products; holds k * q numbers an item."""
    return jnp.einsum("...k,...kq->...q", s, jnp.einsum("...p,kpq->...kq", h, tensor))


def cp_linear(
    h: Float[Array, "*b p"], s: Float[Array, "*b k"], factors: CP
) -> Float[Array, "*b q"]:
    """``((h A) * (C s)) B``: `full_linear` with the tensor of the factors, at r (p + q + k)."""
    return ((h @ factors.rows) * (s @ factors.modes.T)) @ factors.columns


def released_linear(
    h: Float[Array, "*b p"], s: Float[Array, "*b k"], factors: CP
) -> Float[Array, "*b q"]:
    """``(sum_r C_r . s) h A B``: what the authors' released code computes instead of `cp_linear`.

    It sums over the rank in A B and in C apart, so that items differ by one scalar.
    """
    return (s @ factors.modes.sum(0))[..., None] * ((h @ factors.rows) @ factors.columns)


def cp_tensor(factors: CP) -> Float[Array, "k p q"]:
    """The tensor that the factors stand for, which `cp_linear` never makes."""
    return jnp.einsum("rk,pr,rq->kpq", factors.modes, factors.rows, factors.columns)


def item_linear(
    h: Float[Array, "*b p"], s: Float[Array, "*b k"], layer: Layer, *, released: bool = False
) -> Float[Array, "*b q"]:
    """``h (M + T x_3 s)``, an item-specific layer without bias.

    Args:
        h: inputs of the items.
        s: their meta information.
        layer: weights that all items share. Without a dynamic part it is a linear layer; without
            a static part the weights are purely dynamic.
        released: read CP factors as the released code does (`released_linear`).

    Raises:
        ValueError: the layer has neither part.
    """
    static, dynamic = layer
    if dynamic is None:
        if static is None:
            raise ValueError("item_linear: the layer has neither a static nor a dynamic part")
        return h @ static
    if isinstance(dynamic, CP):
        y = (released_linear if released else cp_linear)(h, s, dynamic)
    else:
        y = full_linear(h, s, dynamic)
    return y if static is None else h @ static + y


def item_mlp(
    x: Float[Array, "*b p"],
    s: Float[Array, "*b k"],
    layers: Sequence[Layer],
    *,
    slope: float = 0.01,
    released: bool = False,
) -> Float[Array, "*b q"]:
    """Item-specific layers with LeakyReLU between them and none after the last (section 2.2)."""
    h = x
    for n, layer in enumerate(layers):
        h = item_linear(h if n == 0 else jax.nn.leaky_relu(h, slope), s, layer, released=released)
    return h
