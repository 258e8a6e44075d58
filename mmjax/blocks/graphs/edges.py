"""Random thinning of a graph that changes edge weights only, never the structure.

The laid-out operator and the compiled step stay as they are; a dropped edge has weight zero.

Axes: e directed edges, p undirected edges, n nodes.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array
from jaxtyping import Float, Key

from mmjax.blocks.common.hash_dropout import dropout


def edge_dropout(key: Key[Array, ""], weights: Float[Array, "e"], rate: float) -> Float[Array, "e"]:
    """Inverted dropout on the weights: each directed edge and each self-loop on its own.

    The expected operator is the undropped one. `rate` is static; 0 returns `weights` itself
    (MIG-GT, arXiv 2412.13994; MGDCF).

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    return dropout(key, weights, rate)


class Undirected(NamedTuple):
    """The undirected edges of a symmetric graph, for `degree_pruning`; a pytree of arrays."""

    pair: Array
    """int32[e] undirected edge of each directed edge."""
    first: Array
    """int32[p] one directed edge of each undirected edge."""
    senders: Array
    """int32[e]"""
    receivers: Array
    """int32[e]"""
    slots: Array
    """int32[e] edges ordered by receiver."""
    bounds: Array
    """int32[n + 1] where each receiver's edges begin in `slots`."""


def undirected(graph: jraph.GraphsTuple) -> Undirected:
    """Pair up the two directions of every edge, on the host.

    Raises:
        ValueError: the graph has a self-loop, a repeated edge, or an edge without its reverse.
    """
    senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
    n = int(np.sum(graph.n_node))
    if len(loops := np.flatnonzero(senders == receivers)):
        raise ValueError(
            f"edge {loops[0]} is a self-loop; pruning takes a graph without them "
            "(bipartite(..., self_loops=False))"
        )
    low, high = np.minimum(senders, receivers), np.maximum(senders, receivers)
    _, first, pair, counts = np.unique(
        low.astype(np.int64) * n + high, return_index=True, return_inverse=True, return_counts=True
    )
    directed = np.unique(receivers.astype(np.int64) * n + senders)
    if len(directed) < len(senders) or (counts != 2).any():
        bad = first[np.argmax(counts != 2)] if (counts != 2).any() else 0
        raise ValueError(
            "every edge must occur once in each direction; look at edge "
            f"{bad} ({senders[bad]} -> {receivers[bad]})"
        )
    slots = np.argsort(receivers, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(receivers, minlength=n))])
    arrays = (pair.reshape(-1), first, senders, receivers, slots, bounds)
    return Undirected(*(jnp.asarray(a, jnp.int32) for a in arrays))


def degree_pruning(
    key: Key[Array, ""],
    weights: Float[Array, "e"],
    edges: Undirected,
    *,
    keep: float,
    eps: float = 0.0,
) -> Float[Array, "e"]:
    """Keep ``floor(p * keep)`` undirected edges and re-normalise what is left.

    Edges are drawn without replacement with probability proportional to ``1 / sqrt(d_u d_i)``
    (Gumbel top-k), degrees are counted anew, and a kept edge weighs ``1 / sqrt(d_u d_i)`` of the
    new degrees in both directions, a dropped one zero. `weights` are those of the full graph,
    returned as they are when all edges are kept; `eps` is added to degrees as in `normalise`.
    `keep` is static. FREEDOM (arXiv 2211.06924), degree-sensitive edge pruning.

    Raises:
        ValueError: `keep` is not in [0, 1].
    """
    if not 0.0 <= keep <= 1.0:
        raise ValueError(f"keep must lie in [0, 1], got {keep}")
    pairs = edges.first.shape[0]
    kept = math.floor(pairs * keep)
    if kept == pairs:
        return weights
    if kept == 0:
        return jnp.zeros_like(weights)
    full = jnp.diff(edges.bounds).astype(jnp.float32)
    u, i = edges.senders[edges.first], edges.receivers[edges.first]
    scores = jax.random.gumbel(key, (pairs,)) - 0.5 * (jnp.log(full[u]) + jnp.log(full[i]))
    chosen = _largest(scores, kept)[edges.pair]
    count = jnp.append(0, jnp.cumsum(chosen[edges.slots].astype(jnp.int32)))
    degree = jnp.diff(count[edges.bounds]).astype(weights.dtype) + eps
    inverse = jnp.where(degree > 0, 1 / jnp.sqrt(jnp.maximum(degree, 1e-12)), 0)
    return chosen * inverse[edges.senders] * inverse[edges.receivers]


def _largest(x: Float[Array, "p"], k: int) -> Array:
    """Mask of the k largest entries; of equals, the first ones."""
    threshold = jnp.sort(x)[x.shape[0] - k]
    above, equal = x > threshold, x == threshold
    return above | (equal & (jnp.cumsum(equal) <= k - above.sum()))
