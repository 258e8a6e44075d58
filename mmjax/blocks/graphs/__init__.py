"""Graphs of users and items: building, thinning, normalisation, sparse products, propagation."""

from mmjax.blocks.graphs.edges import Undirected, degree_pruning, edge_dropout, undirected
from mmjax.blocks.graphs.ell import WIDTH, Bucket, Ell, Ints, build, product
from mmjax.blocks.graphs.gathered import (
    Pattern,
    Transposed,
    gather_dot,
    gather_rows,
    gather_sum,
    pattern,
)
from mmjax.blocks.graphs.graph import (
    NORMALISATIONS,
    bipartite,
    degrees,
    lightgcn,
    mgdcf,
    mgdcf_gamma,
    weighted_graph,
)
from mmjax.blocks.graphs.hypergraph import gumbel_softmax, hyper_propagate
from mmjax.blocks.graphs.knn import KINDS, content_key, cosine_neighbours, knn_graph, max_pool
from mmjax.blocks.graphs.neighbours import Neighbours, from_graph, nearest
from mmjax.blocks.graphs.segments import edge_softmax
from mmjax.blocks.graphs.sparse import (
    LAYOUTS,
    Csr,
    Dense,
    Operator,
    Rows,
    Segment,
    Structure,
    csr_product,
    edge_dots,
    operator,
    spmm,
)
from mmjax.blocks.graphs.spectral import spectral_filter, spectrum

__all__ = [
    "Bucket",
    "Csr",
    "Dense",
    "Ell",
    "Ints",
    "KINDS",
    "LAYOUTS",
    "NORMALISATIONS",
    "Neighbours",
    "Operator",
    "Pattern",
    "Rows",
    "Segment",
    "Structure",
    "Transposed",
    "Undirected",
    "WIDTH",
    "bipartite",
    "build",
    "content_key",
    "cosine_neighbours",
    "csr_product",
    "degree_pruning",
    "degrees",
    "edge_dots",
    "edge_dropout",
    "edge_softmax",
    "from_graph",
    "gather_dot",
    "gather_rows",
    "gather_sum",
    "gumbel_softmax",
    "hyper_propagate",
    "knn_graph",
    "lightgcn",
    "max_pool",
    "mgdcf",
    "mgdcf_gamma",
    "nearest",
    "operator",
    "pattern",
    "product",
    "spectral_filter",
    "spectrum",
    "spmm",
    "undirected",
    "weighted_graph",
]
