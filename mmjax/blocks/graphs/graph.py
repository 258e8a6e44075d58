"""Graphs of users and items, their normalisation, and propagation over them.

Graphs are built on the host with numpy, as `jraph.GraphsTuple`; `sparse.operator` then lays one
out for the device. Edge weights are the `edges` of the graph.

Axes: p user-item pairs, e directed edges, n nodes (users first, then items), d features.
"""

import math
from dataclasses import replace
from typing import Any, Literal

import jraph
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.graphs.sparse import Operator, spmm

NORMALISATIONS = ("sym", "left", "right")


def weighted_graph(
    senders: Int[np.ndarray, "e"],
    receivers: Int[np.ndarray, "e"],
    weights: Float[np.ndarray, "e"],
    n: int,
) -> jraph.GraphsTuple:
    """One graph of `n` nodes without features, whose `edges` are the weights as float32."""
    arrays: dict[str, Any] = {
        "edges": weights.astype(np.float32),
        "senders": senders.astype(np.int32),
        "receivers": receivers.astype(np.int32),
        "n_node": np.array([n], np.int32),
        "n_edge": np.array([len(senders)], np.int32),
    }
    return jraph.GraphsTuple(nodes=None, globals=None, **arrays)


def bipartite(
    pairs: Int[np.ndarray, "p 2"], n_users: int, n_items: int, *, self_loops: bool = False
) -> jraph.GraphsTuple:
    """Undirected user-item graph with unit weights: users are nodes 0 to n_users - 1.

    Both directions of every (user, item) pair, and with `self_loops` one edge from every node to
    itself, ordered by receiver, then sender (the order in which products are fastest).

    Raises:
        ValueError: `pairs` is not an integer [p, 2], an id is out of range, or a pair repeats.
    """
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(f"pairs must be int[p, 2], got {pairs.dtype}{list(pairs.shape)}")
    for column, (name, size) in enumerate((("user", n_users), ("item", n_items))):
        ids = pairs[:, column]
        if len(ids) and (ids.min() < 0 or ids.max() >= size):
            bad = int(np.flatnonzero((ids < 0) | (ids >= size))[0])
            raise ValueError(
                f"pairs[{bad}] has {name} {ids[bad]}, but {name} ids run from 0 to {size - 1}"
            )
    flat = pairs[:, 0].astype(np.int64) * n_items + pairs[:, 1]
    values, counts = np.unique(flat, return_counts=True)
    if len(values) < len(flat):
        user, item = divmod(int(values[np.argmax(counts)]), n_items)
        raise ValueError(
            f"pair (user {user}, item {item}) occurs {counts.max()} times; "
            "drop repeats first, e.g. np.unique(pairs, axis=0)"
        )
    users, items = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64) + n_users
    n = n_users + n_items
    loops = np.arange(n if self_loops else 0, dtype=np.int64)
    senders = np.concatenate([items, users, loops])
    receivers = np.concatenate([users, items, loops])
    order = np.argsort(receivers * n + senders)
    ones = np.ones(len(order), np.float32)
    return weighted_graph(senders[order], receivers[order], ones, n)


def degrees(graph: jraph.GraphsTuple, *, of: Literal["receivers", "senders"]) -> np.ndarray:
    """float64[n] sum of the weights of the edges into (out of) each node; self-loops count."""
    ends = np.asarray(getattr(graph, of))
    n = int(np.sum(graph.n_node))
    return np.bincount(ends, weights=np.asarray(graph.edges).astype(np.float64), minlength=n)


def normalise(
    graph: jraph.GraphsTuple, kind: str = "sym", *, eps: float = 0.0
) -> jraph.GraphsTuple:
    """Divide the weights by degrees d, the row sums of A (self-loops count).

    "sym" is ``D^-1/2 A D^-1/2``, "left" is ``D^-1 A`` (rows sum to one: the mean over what a node
    receives) and "right" is ``A D^-1`` with D of column sums. A row of A is what its receiver
    reads. `eps` is added to every degree (MMRec: 1e-7); a node of degree zero gets zero weights.

    Raises:
        ValueError: unknown `kind`, no weights, or a node with a negative degree.
    """
    if kind not in NORMALISATIONS:
        raise ValueError(f"kind must be one of {NORMALISATIONS}, got {kind!r}")
    if graph.edges is None:
        raise ValueError("graph.edges is None: normalise needs one weight per edge, such as 1.0")
    d = degrees(graph, of="senders" if kind == "right" else "receivers") + eps
    if len(d) and d.min() < 0:
        raise ValueError(
            f"node {int(d.argmin())} has negative degree {d.min():.3g}; weights must sum to >= 0"
        )
    power = -0.5 if kind == "sym" else -1.0
    inverse = np.power(d, power, out=np.zeros_like(d), where=d > 0)
    scale = np.ones(len(np.asarray(graph.edges)))
    if kind in ("sym", "left"):
        scale = scale * inverse[np.asarray(graph.receivers)]
    if kind in ("sym", "right"):
        scale = scale * inverse[np.asarray(graph.senders)]
    return graph._replace(edges=(np.asarray(graph.edges) * scale).astype(np.float32))


def mgdcf_gamma(hops: int, alpha: float = 0.1, beta: float = 0.9) -> float:
    """``beta^K + alpha * (1 + beta + ... + beta^(K-1))``; 1 whenever alpha + beta = 1."""
    return beta**hops + alpha * sum(beta**i for i in range(hops))


def mgdcf(
    op: Operator,
    h0: Float[Array, "n d"],
    *,
    hops: int,
    alpha: float = 0.1,
    beta: float = 0.9,
    weights: Float[Array, "e"] | None = None,
) -> Float[Array, "n d"]:
    """Markov graph diffusion: ``H^(k+1) = beta A H^k + alpha H^0``, result ``H^K / gamma``.

    No hops returns `h0`. `weights` replaces the operator's own (edge dropout). Linear in `h0`.
    MGDCF, and MIG-GT (arXiv 2412.13994) with a number of hops per modality.

    Raises:
        ValueError: `hops` is negative.
    """
    if hops < 0:
        raise ValueError(
            f"hops must be >= 0, got {hops}; leave the modality out before propagating (MIG-GT's "
            "K = -1)"
        )
    # The weights carry beta, which spares a pass over the features a hop, forward and backward.
    op = replace(op, weights=beta * op.weights)
    weights = None if weights is None else beta * weights
    h = h0
    for _ in range(hops):
        h = spmm(op, h, weights) + alpha * h0
    gamma = mgdcf_gamma(hops, alpha, beta)
    return h if math.isclose(gamma, 1, rel_tol=1e-12) else h / gamma


def lightgcn(
    op: Operator,
    h0: Float[Array, "n d"],
    *,
    layers: int,
    weights: Float[Array, "e"] | None = None,
) -> Float[Array, "n d"]:
    """Mean of ``A^l h0`` over l = 0 to `layers` (LightGCN, arXiv 2002.02126, eq. 4 and 8).

    Raises:
        ValueError: `layers` is negative.
    """
    if layers < 0:
        raise ValueError(f"layers must be >= 0, got {layers}")
    h = total = h0
    for _ in range(layers):
        h = spmm(op, h, weights)
        total = total + h
    return total / (layers + 1)
