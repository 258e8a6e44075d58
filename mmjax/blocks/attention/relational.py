"""Attention whose tokens relate to each other as a user, or another context, sees them.

H. Liu et al., MMGRec, arXiv 2404.16555: the relation of two tokens stands where other Transformers
have positions, so that the tokens are a set.

Axes: b batch (*b any leading axes), k tokens, m width, g width of a context, f hidden width of a
gate, h heads, d width of a head.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from mmjax.blocks.attention.attention import attend


class Gate(NamedTuple):
    """Weights of a number that a context decides on."""

    hidden: Float[Array, "g f"]
    out: Float[Array, "f"]


class Relation(NamedTuple):
    """Projections of one more head, which all heads share."""

    query: Float[Array, "m d"]
    key: Float[Array, "m d"]
    value: Float[Array, "m d"]


class Gates(NamedTuple):
    """How much the relation counts in queries, keys and values, a number for each row."""

    query: Float[Array, "b"]
    key: Float[Array, "b"]
    value: Float[Array, "b"]


class Terms(NamedTuple):
    """What the relation adds to attention."""

    bias: Float[Array, "b 1 k k"]
    """To the logits of every head."""
    values: Float[Array, "b k 1 d"]
    """To the values of every head."""


def gate(context: Float[Array, "*b g"], weights: Gate) -> Float[Array, "*b"]:
    """``w2 . relu(W1 c)``: one number for a context, of either sign."""
    return jax.nn.relu(context @ weights.hidden) @ weights.out


def relation_terms(x: Float[Array, "b k m"], gates: Gates, weights: Relation) -> Terms:
    """``g_q g_k (x_i U_Q) . (x_j U_K) / sqrt(d)`` for the logits, ``g_v x_j U_V`` for the values.

    The projections are those of gated vectors, ``x (g U)``: the paper's ``MLP(h_u) W`` with a
    scalar MLP, as its code has it. Zero gates leave attention as it is.
    """
    query, key, value = (x @ w for w in weights)
    strength = gates.query * gates.key * query.shape[-1] ** -0.5
    bias = strength[:, None, None] * jnp.einsum("bqd,bkd->bqk", query, key)
    return Terms(bias[:, None], (gates.value[:, None, None] * value)[:, :, None])


def relation_attention(
    query: Float[Array, "b k h d"],
    key: Float[Array, "b k h d"],
    value: Float[Array, "b k h d"],
    terms: Terms,
    *,
    where: Bool[Array, "b k"] | None = None,
) -> Float[Array, "b k h d"]:
    """Self-attention of several heads with a relation: ``softmax((QK' + R) / sqrt(d)) (V + V_R)``.

    Permuting the tokens permutes the result; a masked key counts as if it were not there.

    Args:
        query, key, value: the tokens after the projections of the heads.
        terms: of the same tokens, from `relation_terms`.
        where: which tokens are no padding; None is all.
    """
    return attend(
        query,
        key,
        value + terms.values,
        bias=terms.bias,
        where=None if where is None else where[:, None, None],
        scale=query.shape[-1] ** -0.5,
    )
