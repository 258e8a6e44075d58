"""FREEDOM: a frozen item graph and a pruned user-item graph.

X. Zhou, Z. Shen, ACM MM 2023, arXiv 2211.06924.

Axes: u users, i items, n = u + i nodes, e directed edges, d = width, b rows, k negatives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.graphs.edges import Undirected, degree_pruning, undirected
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import Operator, spmm
from mmjax.blocks.losses.pairwise import info_bpr
from mmjax.layers.item_content import Content
from mmjax.models.collaborative.light_gcn import Embeddings
from mmjax.models.common.item_graphs import mixed_item_graph
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class FREEDOMConfig:
    """FREEDOM with MMRec's defaults."""

    modalities: tuple[str, ...] = ()
    """Content modalities; none named means all that the data have."""
    normalise: bool = True
    """Scale every item's features of a modality to length one (MMRec reads them as published)."""
    width: int = 64
    """Dimension of user and item vectors."""
    hops: int = 2
    """Propagation steps on the user-item graph; the output is the mean of steps 0 to L."""
    item_hops: int = 1
    """Propagation steps on the item graph; 0 leaves the item graph out, where MMRec still adds the
    items' initial vectors to their propagated ones."""
    k: int = 10
    """Neighbours of an item in each modality's graph, itself included."""
    shares: tuple[float, ...] = ()
    """Share of each modality in the item graph, in the order of the modalities; none given means
    0.1 for image and 0.9 for text where these are the two (MMRec), else equal shares."""
    dropout: float = 0.8
    """Share of the user-item edges that is left out, drawn anew in each epoch; in [0, 1].
    ``floor(e (1 - dropout))`` stay in decimals; MMRec cuts the binary product, which may be one
    edge fewer: 1 of 10 at 0.8, where 2 stay here."""
    content_weight: float = 1e-3
    """Weight of the ranking losses of the projected content."""
    trainable_features: bool = True
    """Train the feature tables too, as the authors do; the item graph keeps the given ones."""
    official: bool = False
    """Count the kept edges, and read `item_hops` of 0, as MMRec does."""


class _Inputs(NamedTuple):
    """Arrays that the model reads, and the edges that an epoch draws from."""

    features: dict[str, Array]
    graph: Operator
    item_graph: Operator
    edges: Undirected


class _Nodes(NamedTuple):
    """Results of one forward pass."""

    users: Float[Array, "u d"]
    items: Float[Array, "i d"]
    content: dict[str, Float[Array, "i d"]]
    """Projected features by modality; empty where no loss reads them."""


class FREEDOM(nn.Module):
    """Light propagation over both graphs: ``(u, i) = LGC(E)``, items ``+ S^l E_items``."""

    config: FREEDOMConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Float[Array, "i _"]],
        graph: Operator,
        item_graph: Operator,
        weights: Float[Array, "e"] | None = None,
    ) -> _Nodes:
        """All vectors; `weights` are those of the pruned graph, None reads the full one."""
        c = self.config
        initial = Embeddings(self.n_users, self.n_items, c.width, name="ids")()
        x = lightgcn(graph, initial, layers=c.hops, weights=weights)
        items, h = x[self.n_users :], initial[self.n_users :]
        for _ in range(c.item_hops):
            h = spmm(item_graph, h)
        items = items + h if c.item_hops or c.official else items
        project = Content(c.width, c.trainable_features, name="content")
        return _Nodes(x[: self.n_users], items, project(features) if c.content_weight > 0 else {})


def _init(model: FREEDOM, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs[:3]))


def _loss(
    model: FREEDOM,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    c = model.config
    weights = batch["weights"] if c.dropout > 0 else None
    nodes: Any = model.apply({"params": params}, *inputs[:3], weights)
    u = nodes.users[batch["user"]]

    def rank(items: Array) -> Array:
        negatives = jnp.einsum("bd,bkd->bk", u, items[batch["negatives"]])
        losses = info_bpr((u * items[batch["item"]]).sum(-1), negatives)
        return global_mean(losses, axis, where=batch["where"])

    terms = {"rank": rank(nodes.items)}
    terms |= {f"rank_{name}": c.content_weight * rank(z) for name, z in nodes.content.items()}
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms)


def _vectors(
    model: FREEDOM, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    nodes: Any = model.apply({"params": params}, *inputs[:3])
    return nodes.users, nodes.items


def _epoch(model: FREEDOM, inputs: _Inputs, key: Array) -> dict[str, Array]:
    c, pairs = model.config, inputs.edges.first.shape[0]
    keep = round(1 - c.dropout, 12)
    if c.official and pairs:
        # Half an edge more, so that the share times the number cannot fall below the count.
        keep = min((int(pairs * (1.0 - c.dropout)) + 0.5) / pairs, 1.0)
    return {"weights": degree_pruning(key, inputs.graph.weights, inputs.edges, keep=keep)}


def build(config: FREEDOMConfig, task: Task) -> Model:
    """FREEDOM on the graphs and the features of a task, retrieving by inner products.

    Batches carry `weights`, the pruned graph of their epoch, which `Objective.epoch` draws.

    Raises:
        ValueError: a modality is missing, `dropout` is not in [0, 1], or `shares` does not fit.
    """
    if not 0.0 <= config.dropout <= 1.0:
        raise ValueError(f"dropout must lie in [0, 1], got {config.dropout}")
    features = task.content(config.modalities, normalise=config.normalise)
    graph = task.adjacency()
    item_graph = mixed_item_graph(task, tuple(features), config.shares, k=config.k)
    inputs = _Inputs(features, graph, item_graph, undirected(task.pairs_graph()))
    model = FREEDOM(config, *task.sizes)
    epoch = _epoch if config.dropout > 0 else None
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss, epoch=epoch),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
