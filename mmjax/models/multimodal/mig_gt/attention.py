"""Attention: MIG-GT's sampled global transformer.

Axes: n nodes, i items, s sampled items a node, t = 1 + s tokens of a memory, d features,
a attention width, b rows of a batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from mmjax.blocks.graphs.gathered import Pattern, gather_dot, gather_rows, gather_sum


class QueryKey(NamedTuple):
    """Query and key projections of a single attention head; the values are the tokens."""

    query: Float[Array, "d a"]
    query_bias: Float[Array, "a"]
    key: Float[Array, "d a"]
    key_bias: Float[Array, "a"]


def project(x: Float[Array, "*n d"], weights: QueryKey) -> tuple[Array, Array]:
    """Scaled queries and keys of `x`, each ``[*n, a]``; their dot product is the logit.

    The scale ``a**-0.5`` is taken into the queries.
    """
    bias = (1,) * (x.ndim - 1) + (-1,)
    scale = weights.query.shape[1] ** -0.5
    q = (x @ weights.query + weights.query_bias.reshape(bias)) * scale
    return q, x @ weights.key + weights.key_bias.reshape(bias)


def memory_attention(
    memory: Float[Array, "*n t d"], weights: QueryKey, *, mix: float = 0.1
) -> Float[Array, "*n t d"]:
    """Self-attention inside each memory: ``mix * softmax(QK'/sqrt(a)) M + (1 - mix) * M``.

    One head, no value projection, no normalisation. Every output row lies within
    ``mix * max|M|`` of ``(1 - mix) * M`` (MIG-GT, arXiv 2412.13994, global transformer).
    """
    q, k = project(memory, weights)
    p = jax.nn.softmax(jnp.einsum("...ta,...sa->...ts", q, k), axis=-1)
    return mix * jnp.einsum("...ts,...sd->...td", p, memory) + (1 - mix) * memory


def sampled_attention(
    nodes: Float[Array, "n d"],
    items: Float[Array, "i d"],
    samples: Pattern,
    weights: QueryKey,
    *,
    mix: float = 0.1,
) -> Float[Array, "n d"]:
    """Token 0 of `memory_attention` on the memory [node; its sampled items], for every node.

    Equal to building the ``[n, 1+s, d]`` memories and keeping the first row, without ever
    holding them: the cost is n*s*d multiply-adds and n*s logits (MIG-GT, arXiv 2412.13994).
    """
    q, own_key = project(nodes, weights)
    item_key = project(items, weights)[1]
    own = (q * own_key).sum(-1, keepdims=True)
    p = jax.nn.softmax(jnp.concatenate([own, gather_dot(q, item_key, samples)], 1), axis=1)
    attended = p[:, :1] * nodes + gather_sum(p[:, 1:], items, samples)
    return mix * attended + (1 - mix) * nodes


def token_scores(
    queries: Float[Array, "b d"],
    nodes: Float[Array, "b d"],
    items: Float[Array, "i d"],
    samples: Pattern,
    weights: QueryKey,
    *,
    mix: float = 0.1,
) -> Float[Array, "b t"]:
    """Inner products of `queries` with all tokens of `memory_attention` on [node; its samples].

    ``u . O_t = mix * sum_s P_ts (u . M_s) + (1 - mix) (u . M_t)``: scores are mixed instead of
    vectors, so that the ``[b, 1+s, d]`` tokens of MIG-GT's unsmooth regularisation never exist.
    """
    q, k = project(nodes, weights)
    item_q, item_k = project(items, weights)
    q = jnp.concatenate([q[:, None], gather_rows(item_q, samples)], 1)
    k = jnp.concatenate([k[:, None], gather_rows(item_k, samples)], 1)
    p = jax.nn.softmax(jnp.einsum("bta,bsa->bts", q, k), axis=-1)
    own = (queries * nodes).sum(-1, keepdims=True)
    scores = jnp.concatenate([own, gather_dot(queries, items, samples)], 1)
    return mix * jnp.einsum("bts,bs->bt", p, scores) + (1 - mix) * scores
