"""MGDCF: distance learning by Markov graph diffusion of id embeddings, with InfoBPR.

J. Hu et al., TKDE 2024, arXiv 2204.02338; what MIG-GT becomes without content and transformer.

Axes: u users, i items, n = u + i nodes, d = width, b rows, k negatives.
"""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_sum
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.graphs.edges import edge_dropout
from mmjax.blocks.graphs.gathered import gather_dot, pattern
from mmjax.blocks.graphs.graph import mgdcf
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import half_square, info_bpr
from mmjax.models.collaborative.config import MGDCFConfig
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


class MGDCF(nn.Module):
    """Diffused id embeddings of all nodes, users first."""

    config: MGDCFConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, graph: Operator, *, train: bool = False) -> Float[Array, "n d"]:
        """Diffuse over `graph`; `train` draws from the "dropout" stream."""
        c = self.config
        init = nn.initializers.normal(c.width**-0.5)
        x = self.param("embedding", init, (self.n_users + self.n_items, c.width))
        if not train:
            return mgdcf(graph, x, hops=c.hops, alpha=c.alpha, beta=c.beta)
        x = dropout(self.make_rng("dropout"), x, c.input_dropout)
        weights = edge_dropout(self.make_rng("dropout"), graph.weights, c.edge_dropout)
        x = mgdcf(graph, x, hops=c.hops, alpha=c.alpha, beta=c.beta, weights=weights)
        return dropout(self.make_rng("dropout"), x, c.output_dropout)


def _init(model: MGDCF, graph: Operator, key: Array) -> Variables:
    return dict(model.init(key, graph))


def _loss(
    model: MGDCF,
    graph: Operator,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    x: Any = model.apply({"params": params}, graph, train=True, rngs={"dropout": key})
    users, items = x[: model.n_users], x[model.n_users :]
    user = users[batch["user"]]
    positive = (user * items[batch["item"]]).sum(-1)
    negatives = gather_dot(user, items, pattern(batch["negatives"], items.shape[0]))
    terms = {
        "rank": global_sum(info_bpr(positive, negatives), axis, where=batch["where"]),
        "l2": model.config.l2 * half_square(x),
    }
    return terms["rank"] + terms["l2"], Aux(state, terms)


def _vectors(
    model: MGDCF, graph: Operator, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params}, graph)
    return x[: model.n_users], x[model.n_users :]


def build_from_graph(config: MGDCFConfig, graph: Operator, n_users: int, n_items: int) -> Model:
    """MGDCF, whose loss sums over the rows, as the authors' does.

    Args:
        config: hyper-parameters.
        graph: symmetric normalised bipartite adjacency with self-loops, users first.
        n_users: number of users, the first nodes.
        n_items: number of items, the remaining nodes.
    """
    model = MGDCF(config, n_users, n_items)
    return Model(
        Objective.bind(model, graph, init=_init, loss=_loss),
        by_vectors(_vectors, model, graph, n_items),
    )


def build(config: MGDCFConfig, task: Task) -> Model:
    """MGDCF on the graph of a task."""
    return build_from_graph(config, task.adjacency(self_loops=True), *task.sizes)
