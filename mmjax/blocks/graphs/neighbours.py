"""Item graphs of a fixed number of neighbours a row, whose weights can be learnt.

Nothing of size i x i exists: neighbours are searched for block by block without a gradient, and
what is differentiated are the i x k values that were kept. Products are `gathered.gather_sum`.

Axes: i items, k neighbours, d features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.gathered import gather_dot, gather_rows, pattern
from mmjax.blocks.graphs.knn import cosine_neighbours


class Neighbours(NamedTuple):
    """Every row reads k rows; a row that occurs twice in a list counts twice."""

    index: Int[Array, "i k"]
    weights: Float[Array, "i k"]


def from_graph(graph: jraph.GraphsTuple) -> Neighbours:
    """Senders and weights by receiver of a graph in which every node reads k others.

    Raises:
        ValueError: the numbers of neighbours differ.
    """
    receivers, n = np.asarray(graph.receivers), int(np.sum(graph.n_node))
    counts = np.bincount(receivers, minlength=n)
    if (counts != counts[0]).any():
        bad = int(np.argmax(counts != counts[0]))
        raise ValueError(f"node {bad} reads {counts[bad]} nodes, but node 0 reads {counts[0]}")
    order = np.argsort(receivers, kind="stable").reshape(n, -1)
    return Neighbours(*(jnp.asarray(np.asarray(a)[order]) for a in (graph.senders, graph.edges)))


def nearest(x: Float[Array, "i d"], *, k: int) -> Neighbours:
    """The `k` rows of largest cosine of every row, itself first, weighted by those cosines.

    The gradient flows through the cosines that are kept; which ones they are has none. Equal in
    value and gradient to the top-k of the whole similarity matrix (LATTICE, arXiv 2104.09036,
    eq. 1 and 2 on projected features).

    Raises:
        ValueError: `k` is not in 1 to i.
    """
    index, _ = cosine_neighbours(lax.stop_gradient(x), k=k)
    unit = l2_normalise(x)
    return Neighbours(index, gather_dot(unit, unit, pattern(index, x.shape[0])))


def normalise(graph: Neighbours) -> Neighbours:
    """``d_r^-1/2 w d_c^-1/2`` with d of row sums; a sum that is not above zero gives zeros.

    The gradient flows through the degrees too (LATTICE, eq. 3).
    """
    index, weights = graph
    d = weights.sum(1)
    positive = d > 0
    inverse = jnp.where(positive, lax.rsqrt(jnp.where(positive, d, 1.0)), 0.0)
    of_senders = gather_rows(inverse[:, None], pattern(index, index.shape[0]))[..., 0]
    return Neighbours(index, inverse[:, None] * weights * of_senders)


def mix(
    graphs: Sequence[Neighbours], weights: Float[Array, "m"] | Sequence[float | Array]
) -> Neighbours:
    """``sum of weights[m] * A_m`` as the lists of all graphs side by side; repeats stay apart.

    Raises:
        ValueError: unequal numbers of graphs and weights.
    """
    scaled = [g.weights * w for g, w in zip(graphs, weights, strict=True)]
    index = jnp.concatenate([g.index for g in graphs], axis=1)
    return Neighbours(index, jnp.concatenate(scaled, axis=1))
