"""LightGCN, and matrix factorisation with BPR as its case without hops, as MMRec trains them.

X. He et al., SIGIR 2020, arXiv 2002.02126; S. Rendle et al., UAI 2009, arXiv 1205.2618.

Axes: u users, i items, n = u + i nodes, d = width, b rows, k negatives.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import emb_loss, info_bpr
from mmjax.models.collaborative.config import BPRMFConfig, LightGCNConfig
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


class Embeddings(nn.Module):
    """Trained vectors of all nodes, users first.

    Xavier initialisation is taken over the user and the item table apart, as both are matrices
    of their own in the papers.
    """

    n_users: int
    n_items: int
    width: int
    uniform: bool = True

    @nn.compact
    def __call__(self) -> Float[Array, "n d"]:
        """All embeddings."""
        init = nn.initializers.xavier_uniform() if self.uniform else nn.initializers.xavier_normal()
        users = self.param("user_embedding", init, (self.n_users, self.width))
        items = self.param("item_embedding", init, (self.n_items, self.width))
        return jnp.concatenate([users, items])


def bpr_with_norms(
    final: Float[Array, "n d"],
    initial: Float[Array, "n d"],
    n_users: int,
    rows: Mapping[str, Array],
    axis: str | None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean BPR on `final` and MMRec's penalty `emb_loss` on the batch's rows of `initial`.

    `rows` as in `mig_gt.loss_terms`; with k negatives the loss is InfoBPR.
    """
    user, item, negatives = rows["user"], n_users + rows["item"], n_users + rows["negatives"]
    u = final[user]
    ranks = info_bpr((u * final[item]).sum(-1), jnp.einsum("bd,bkd->bk", u, final[negatives]))
    tables = (initial[user], initial[item], initial[negatives])
    where = rows["where"]
    return global_mean(ranks, axis, where=where), emb_loss(*tables, where=where, axis=axis)


class _Network(NamedTuple):
    """Embeddings, their propagation steps and the weight of their norms; static."""

    embeddings: Embeddings
    hops: int
    l2: float


def _init(model: _Network, graph: Operator | None, key: Array) -> Variables:
    return dict(model.embeddings.init(key))


def _loss(
    model: _Network,
    graph: Operator | None,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    initial: Any = model.embeddings.apply({"params": params})
    final = initial if graph is None else lightgcn(graph, initial, layers=model.hops)
    rank, norms = bpr_with_norms(final, initial, model.embeddings.n_users, batch, axis)
    return rank + model.l2 * norms, Aux(state, {"rank": rank, "norms": norms})


def _vectors(
    model: _Network, graph: Operator | None, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    x: Any = model.embeddings.apply({"params": params})
    x = x if graph is None else lightgcn(graph, x, layers=model.hops)
    n = model.embeddings.n_users
    return x[:n], x[n:]


def _build(model: _Network, graph: Operator | None) -> Model:
    return Model(
        Objective.bind(model, graph, init=_init, loss=_loss),
        by_vectors(_vectors, model, graph, model.embeddings.n_items),
    )


def build_from_graph(config: LightGCNConfig, graph: Operator, n_users: int, n_items: int) -> Model:
    """LightGCN: mean of steps 0 to L of linear propagation, BPR, norms of the layer-0 rows.

    Args:
        config: hyper-parameters.
        graph: symmetric normalised bipartite adjacency without self-loops, users first.
        n_users: number of users, the first nodes.
        n_items: number of items, the remaining nodes.
    """
    embeddings = Embeddings(n_users, n_items, config.width)
    return _build(_Network(embeddings, config.hops, config.l2), graph)


def build(config: LightGCNConfig, task: Task) -> Model:
    """LightGCN on the graph of a task."""
    return build_from_graph(config, task.adjacency(), *task.sizes)


def build_bpr_mf(config: BPRMFConfig, task: Task) -> Model:
    """Matrix factorisation with BPR: LightGCN with L = 0, from Xavier-normal vectors."""
    embeddings = Embeddings(*task.sizes, config.width, uniform=False)
    return _build(_Network(embeddings, 0, config.l2), None)
