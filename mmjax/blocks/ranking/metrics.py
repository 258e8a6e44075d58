"""Ranking metrics of one user each, from the hits at the ranks 1, 2, ...

`hits[u, r]` says whether the item at rank r + 1 is relevant, `relevant[u]` how many items are
relevant in all (1 or more, counted in full also where it exceeds the ranks). Definitions follow
the MMRec protocol (enoche/MMRec, arXiv 2302.03497).

Axes: u users, r ranks (at least k).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int


def recall(hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int) -> Float[Array, "u"]:
    """Share of the relevant items among the first k."""
    return _found(hits, k) / relevant


def precision(hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int) -> Float[Array, "u"]:
    """Share of relevant items among k recommended ones."""
    return _found(hits, k) / k


def ndcg(hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int) -> Float[Array, "u"]:
    """Discounted gain ``sum_r hit_r / log2(r + 1)`` over that of min(relevant, k) first hits."""
    discount = 1.0 / jnp.log2(jnp.arange(k) + 2.0)
    ideal = jnp.cumsum(discount)[jnp.minimum(relevant, k) - 1]
    return jnp.where(hits[:, :k], discount[None, :], 0.0).sum(1) / ideal


def ndcg_list(hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int) -> Float[Array, "u"]:
    """Discounted gain over that of the same hits moved to the top; without a hit, zero.

    Relevant items that were not found do not lower it, so it is at least `ndcg`. The evaluators of
    DMRL and AD-DRL (arXiv 2312.14433) report this one; it is here to compare with them.
    """
    discount = 1.0 / jnp.log2(jnp.arange(k) + 2.0)
    found = _found(hits, k)
    ideal = jnp.cumsum(discount)[jnp.maximum(found, 1) - 1]
    return jnp.where(hits[:, :k], discount[None, :], 0.0).sum(1) / ideal


def average_precision(
    hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int
) -> Float[Array, "u"]:
    """``sum_r hit_r * precision@r / min(relevant, k)``; its mean over users is MAP@k."""
    hits = hits[:, :k]
    precisions = jnp.cumsum(hits, 1) / (jnp.arange(k) + 1.0)[None, :]
    return jnp.where(hits, precisions, 0.0).sum(1) / jnp.minimum(relevant, k)


def hit(hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int) -> Float[Array, "u"]:
    """1 where any of the first k is relevant, else 0."""
    return hits[:, :k].any(1).astype(jnp.float32)


def reciprocal_rank(
    hits: Bool[Array, "u r"], relevant: Int[Array, "u"], k: int
) -> Float[Array, "u"]:
    """One over the rank of the first relevant item, 0 where none of the first k is.

    Its mean over users is MRR@k (E. Voorhees, TREC 1999); `relevant` is not looked at.
    """
    hits = hits[:, :k]
    return jnp.where(hits.any(1), 1.0 / (hits.argmax(1) + 1.0), 0.0)


def _found(hits: Array, k: int) -> Array:
    return hits[:, :k].sum(1, dtype=jnp.int32)


METRICS: Mapping[str, Callable[[Array, Array, int], Array]] = MappingProxyType(
    {
        "recall": recall,
        "ndcg": ndcg,
        "precision": precision,
        "map": average_precision,
        "hr": hit,
        "mrr": reciprocal_rank,
    }
)
"""Metric by the name that results carry before "@k"."""

NDCG: Mapping[str, Callable[[Array, Array, int], Array]] = MappingProxyType(
    {"standard": ndcg, "list": ndcg_list}
)
"""Ideal gains that "ndcg@k" can be measured by."""
