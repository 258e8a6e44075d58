"""Item graphs of nearest neighbours in feature space, built in blocks.

Similarities exist for one block of rows at a time, never for all pairs. The search runs on the
device, the graph is assembled on the host.

Axes: i items, d features, k neighbours, r rows of a block, e directed edges.
"""

import hashlib
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.graph import normalise, weighted_graph

KINDS = ("bin", "cos")
_BLOCK_ENTRIES = 1 << 24


@partial(jax.jit, static_argnames=("k", "block"))
def _search(x: Array, k: int, block: int) -> tuple[Array, Array]:
    items = x.shape[0]
    x = l2_normalise(x.astype(jnp.float32))
    blocks = -(-items // block)
    padded = jnp.pad(x, ((0, blocks * block - items), (0, 0)))
    numbers = jnp.arange(items)[None, :]

    def nearest(first: Array) -> tuple[Array, Array]:
        rows = lax.dynamic_slice_in_dim(padded, first, block)
        cosine = jnp.dot(rows, x.T, precision=lax.Precision.HIGHEST)
        own = numbers == first + jnp.arange(block)[:, None]
        # Above any cosine, so that an item's exact copies cannot crowd it out of its own list.
        found, index = lax.top_k(jnp.where(own, 2.0, cosine), k)
        return index, jnp.where(found > 1.5, jnp.sum(rows * rows, axis=1, keepdims=True), found)

    index, cosine = lax.map(nearest, jnp.arange(blocks) * block)
    return index.reshape(-1, k)[:items], cosine.reshape(-1, k)[:items]


def cosine_neighbours(
    features: Float[Array, "i d"] | Float[np.ndarray, "i d"], *, k: int = 10, block: int = 0
) -> tuple[Array, Array]:
    """The `k` items of largest cosine for every item, itself first: int32[i, k], float32[i, k].

    Of equal cosines the lower index comes first. A row of zeros has cosine zero with all,
    itself included. `block` rows are compared at a time (0: as many as take 64 MiB).

    Raises:
        ValueError: `k` is not in 1 to i, or `block` is negative.
    """
    items = features.shape[0]
    if not 1 <= k <= items:
        raise ValueError(f"k must lie in 1 to {items}, the number of items, got {k}")
    if block < 0:
        raise ValueError(f"block must be >= 0, got {block}")
    block = min(block or max(8, _BLOCK_ENTRIES // items), items)
    index, cosine = _search(jnp.asarray(features), k, block)
    return index.astype(jnp.int32), cosine


def knn_graph(
    features: Float[Array, "i d"] | Float[np.ndarray, "i d"],
    *,
    k: int = 10,
    kind: str = "bin",
    block: int = 0,
) -> jraph.GraphsTuple:
    """Every item (receiver) reads its `k` nearest items by cosine (senders), itself included.

    "bin" weighs each neighbour 1, "cos" by its cosine; both are then normalised as
    ``d_r^-1/2 w d_c^-1/2`` with d of row sums, so that every weight of "bin" is exactly 1/k
    (FREEDOM: "bin"; LATTICE, MGCN: "cos"). The graph is directed: being near is not mutual.

    Raises:
        ValueError: a feature is not finite, unknown `kind`, `k` out of range, or the cosines of
            an item sum to less than zero.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    finite = np.isfinite(np.asarray(features)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"features of item {int(np.argmin(finite))} are not finite "
            f"({int((~finite).sum())} such items); replace them, e.g. by the mean of the others"
        )
    index, cosine = (np.asarray(a) for a in cosine_neighbours(features, k=k, block=block))
    items = len(index)
    order = np.argsort(index, axis=1)
    senders = np.take_along_axis(index, order, axis=1).ravel()
    receivers = np.repeat(np.arange(items), k)
    if kind == "bin":
        return weighted_graph(senders, receivers, np.full(items * k, 1 / k), items)
    weights = np.take_along_axis(cosine, order, axis=1).ravel()
    return normalise(weighted_graph(senders, receivers, weights, items))


def mix(graphs: Sequence[jraph.GraphsTuple], weights: Sequence[float]) -> jraph.GraphsTuple:
    """``sum of weights[m] * A_m`` over graphs on the same nodes, as one graph.

    An edge that several graphs have becomes one edge. MMRec's item graph is
    ``mix([image, text], [w, 1 - w])`` with `mm_image_weight` w = 0.1.

    Raises:
        ValueError: no graphs, unequal numbers of graphs and weights, or of nodes.
    """
    if len(graphs) != len(weights) or not graphs:
        raise ValueError(f"got {len(graphs)} graphs and {len(weights)} weights")
    n, cells, place = _cells(graphs)
    scaled = [
        np.asarray(graph.edges).astype(np.float64) * weight
        for graph, weight in zip(graphs, weights, strict=True)
    ]
    summed = np.bincount(place, weights=np.concatenate(scaled), minlength=len(cells))
    return weighted_graph(cells % n, cells // n, summed, n)


def max_pool(graphs: Sequence[jraph.GraphsTuple]) -> jraph.GraphsTuple:
    """The edges that any of the graphs has, each with the largest weight it has in one of them.

    A graph without the edge has no say in it, also where the other's weight is negative (SMORE,
    arXiv 2412.14978: the graph of the fused view).

    Raises:
        ValueError: no graphs, or unequal numbers of nodes.
    """
    if not graphs:
        raise ValueError("max_pool needs at least one graph")
    n, cells, place = _cells(graphs)
    largest = np.full(len(cells), -np.inf)
    np.maximum.at(largest, place, np.concatenate([np.asarray(graph.edges) for graph in graphs]))
    return weighted_graph(cells % n, cells // n, largest, n)


def _cells(graphs: Sequence[jraph.GraphsTuple]) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of nodes, cells ``receiver * n + sender`` in use, and each edge's place in them."""
    sizes = [int(np.sum(graph.n_node)) for graph in graphs]
    if len(set(sizes)) > 1:
        raise ValueError(f"graphs must be on the same nodes, got {sizes} nodes")
    n = sizes[0]
    flat = [
        np.asarray(graph.receivers).astype(np.int64) * n + np.asarray(graph.senders)
        for graph in graphs
    ]
    cells, place = np.unique(np.concatenate(flat), return_inverse=True)
    return n, cells, place.ravel()


def content_key(features: Float[np.ndarray, "i d"], **settings: str | int | float) -> str:
    """16 hex digits that change with any feature value, shape, dtype or setting.

    For naming a cached graph, so that changed features never meet an old graph.
    """
    array = np.ascontiguousarray(features)
    digest = hashlib.sha256(repr((array.shape, array.dtype.str, sorted(settings.items()))).encode())
    digest.update(array.tobytes())
    return digest.hexdigest()[:16]
