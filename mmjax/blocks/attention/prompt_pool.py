"""Pools of prefix prompts: which prompts an input gets, chosen by the cosine with their keys.

L2P (Z. Wang et al., CVPR 2022, arXiv 2112.08654), DualPrompt's E-prompts (arXiv 2204.04799),
CODA-Prompt (J. S. Smith et al., CVPR 2023, arXiv 2211.13218), the topic-aware pool of PromptDSI
(T.-L. Huynh et al., ECML PKDD 2025, arXiv 2406.12593), whose keys are given and fixed.

A pool is an array ``[l 2 m p h d]``: for each prompted layer the keys, then the values, of each
entry. What an input gets are prefixes ``[l 2 b s h d]`` for its batch.

Axes: b inputs, m entries of the pool, k chosen ones, w width of query and keys, l prompted layers,
p positions of an entry, s = k p positions of a prefix, h heads, d width of a head.
"""

from typing import NamedTuple

import jax.numpy as jnp
from einops import rearrange
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from mmjax.blocks.common.projection import l2_normalise


class Chosen(NamedTuple):
    """Entries of the pool for each input, the nearest first."""

    index: Int[Array, "b k"]
    similarity: Float[Array, "b k"]
    """Cosine of query and key."""


class Usage(NamedTuple):
    """How choices spread over a pool."""

    share: Float[Array, ""]
    """Entries that were chosen at all, over those there are."""
    effective: Float[Array, ""]
    """Exponential of the entropy of the choices: the number of entries, were all equally used."""
    largest: Float[Array, ""]
    """Share of all choices that fell on the most used entry."""


def cosines(query: Float[Array, "b w"], keys: Float[Array, "m w"]) -> Float[Array, "b m"]:
    """Cosine of every query with every key; lengths do not matter."""
    return l2_normalise(query) @ l2_normalise(keys).T


def choose(
    query: Float[Array, "b w"],
    keys: Float[Array, "m w"],
    k: int,
    *,
    where: Bool[Array, "m"] | None = None,
) -> Chosen:
    """The k entries of the largest cosine, for each input by itself; ties lowest first.

    Args:
        query: of each input.
        keys: of each entry.
        k: entries of an input, 1 to m.
        where: entries that may be chosen, at least k; None is all.

    Raises:
        ValueError: k is not in [1, m].
    """
    if not 1 <= k <= keys.shape[0]:
        raise ValueError(f"choose: k = {k} of a pool of {keys.shape[0]} entries")
    similarity = cosines(query, keys)
    if where is not None:
        similarity = jnp.where(where[None], similarity, -jnp.inf)
    values, index = lax.top_k(similarity, k)
    return Chosen(index, values)


def gather(
    pool: Float[Array, "l 2 m p h d"], index: Int[Array, "b k"], *, official: bool = False
) -> Float[Array, "l 2 b s h d"]:
    """The chosen entries' keys and values, one after the other.

    Args:
        pool: the prompts.
        index: entries of each input.
        official: lay the result out as the authors' code does, which reshapes axes where it
            should transpose them: inputs then get prompts of others, and keys for values. Only
            to compare with it; results depend on what shares a batch.
    """
    found = pool[:, :, index]
    if official:
        found = found.reshape(found.shape[0], index.shape[0], 2, *found.shape[3:])
        found = rearrange(found, "l b kv k p h d -> l kv b k p h d")
    return rearrange(found, "l kv b k p h d -> l kv b (k p) h d")


def coda_weights(
    query: Float[Array, "b w"], attention: Float[Array, "m w"], keys: Float[Array, "m w"]
) -> Float[Array, "b m"]:
    """``cos(q * A_m, K_m)``: how much of each component an input gets (CODA-Prompt, equation 5).

    Neither a softmax nor a choice follows; weights may be negative.
    """
    attended = l2_normalise(query[:, None] * attention[None])
    return (attended * l2_normalise(keys)[None]).sum(-1)


def mix(
    pool: Float[Array, "l 2 m p h d"], weights: Float[Array, "b m"]
) -> Float[Array, "l 2 b p h d"]:
    """Each input's weighted sum of all entries (CODA-Prompt, equation 3)."""
    return jnp.einsum("lcmphd,bm->lcbphd", pool, weights)


def pull(similarity: Float[Array, "b k"]) -> Float[Array, "b"]:
    """Minus the summed cosines of an input with its chosen keys, in [-k, k].

    Added to a loss it draws keys towards the queries that choose them (L2P, equation 4).
    """
    return -similarity.sum(1)


def orthogonality(x: Float[Array, "m w"]) -> Float[Array, ""]:
    """``mean((X X' - I)^2)``, which is 0 for orthonormal rows (CODA-Prompt, equation 6)."""
    return jnp.square(x @ x.T - jnp.eye(x.shape[0])).mean()


def usage(index: Int[Array, "b k"], m: int) -> Usage:
    """How choices spread over the `m` entries of a pool."""
    counts = jnp.zeros(m).at[index.reshape(-1)].add(1.0)
    p = counts / counts.sum()
    entropy = -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0).sum()
    return Usage((counts > 0).mean(), jnp.exp(entropy), p.max())
