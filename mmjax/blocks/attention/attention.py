"""Attention of several heads over keys that may be masked.

Axes: *b any leading axes, q queries, k keys, h heads, d width of a head, e width of its values.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Key, Shaped

from mmjax.blocks.common.hash_dropout import dropout


def attend(
    query: Float[Array, "*b q h d"],
    key: Float[Array, "*b k h d"],
    value: Float[Array, "*b k h e"],
    *,
    bias: Float[Array, "..."] | None = None,
    where: Bool[Array, "..."] | None = None,
    scale: float = 1.0,
    rate: float = 0.0,
    rng: Key[Array, ""] | None = None,
) -> Float[Array, "*b q h e"]:
    """``softmax_k(scale * q . k + bias) v`` in every head.

    Logits and softmax are float32, whatever the inputs; the result has the dtype of `value`. A key
    that is masked out counts as if it were not there; a query without any key left gets zeros,
    with zero gradients. A. Vaswani et al., NeurIPS 2017, arXiv 1706.03762, equation 1.

    Args:
        query, key, value: after their projections. Queries that share keys, such as the beams of
            a search over one memory, stand on the axis q: keys are never repeated for them.
        bias: added to the scaled logits; broadcasts to ``[*b, h, q, k]`` with the same number of
            axes. Relative positions and relations between tokens come in here.
        where: keys that a query may see, broadcast like `bias`.
        scale: factor on the products; ``d**-0.5`` in most papers, 1 in T5.
        rate: dropout of the softmax's weights, in [0, 1).
        rng: key of that dropout; None means no dropout.

    Raises:
        ValueError: `bias` or `where` have another number of axes than the logits.
    """
    for name, x in (("bias", bias), ("where", where)):
        if x is not None and x.ndim != query.ndim:
            raise ValueError(
                f"attend: {name} must have the {query.ndim} axes of the logits, heads before "
                f"queries before keys (size 1 broadcasts), got shape {x.shape}"
            )
    logits = scale * jnp.einsum(
        "...qhd,...khd->...hqk", query, key, preferred_element_type="float32"
    )
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)
    if where is not None:
        logits = jnp.where(where, logits, jnp.finfo(jnp.float32).min)
    p = jax.nn.softmax(logits, axis=-1)
    if where is not None:
        p = jnp.where(where, p, 0.0)
    if rng is not None:
        p = dropout(rng, p, rate)
    return jnp.einsum("...hqk,...khe->...qhe", p.astype(value.dtype), value)


def causal(n_queries: int, n_keys: int | None = None) -> Bool[Array, "1 1 q k"]:
    """Mask that lets query t see the keys up to t; `n_keys` defaults to the number of queries."""
    q = jnp.arange(n_queries)[:, None]
    k = jnp.arange(n_queries if n_keys is None else n_keys)[None]
    return (k <= q)[None, None]


def visible(keys: Shaped[Array, "b k"]) -> Bool[Array, "b 1 1 k"]:
    """Mask for all heads and queries from a padding mask: 1 or True is a token, 0 padding."""
    return keys.astype(bool)[:, None, None]
