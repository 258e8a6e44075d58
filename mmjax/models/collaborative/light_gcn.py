"""LightGCN, and matrix factorisation with BPR as its case without layers, as MMRec trains them.

X. He et al., SIGIR 2020, arXiv 2002.02126; S. Rendle et al., UAI 2009, arXiv 1205.2618.

Axes: u users, i items, n = u + i nodes, d = width, b rows, k negatives.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import emb_loss, info_bpr
from mmjax.models.collaborative.config import BPRMFConfig, LightGCNConfig
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective


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


def _loss(
    model: Embeddings,
    layers: int,
    reg: float,
    graph: Operator | None,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    initial: Any = model.apply({"params": params})
    final = initial if graph is None else lightgcn(graph, initial, layers=layers)
    rank, norms = bpr_with_norms(final, initial, model.n_users, batch, axis)
    return rank + reg * norms, Aux(state, {"rank": rank, "norms": norms})


def _predict(
    model: Embeddings, layers: int, graph: Operator | None, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params})
    x = x if graph is None else lightgcn(graph, x, layers=layers)
    return x[: model.n_users], x[model.n_users :]


def _build(model: Embeddings, layers: int, reg: float, graph: Operator | None) -> Objective:
    return Objective(
        Partial(lambda key: dict(model.init(key))),
        Partial(functools.partial(_loss, model, layers, reg), graph),
        Partial(functools.partial(_predict, model, layers), graph),
    )


def objective(config: LightGCNConfig, graph: Operator, n_users: int, n_items: int) -> Objective:
    """LightGCN: mean of layers 0 to L of linear propagation, BPR, norms of the layer-0 rows.

    Args:
        config: hyper-parameters.
        graph: symmetric normalised bipartite adjacency without self-loops, users first.
        n_users: number of users, the first nodes.
        n_items: number of items, the remaining nodes.
    """
    model = Embeddings(n_users, n_items, config.width)
    return _build(model, config.layers, config.reg, graph)


def bpr_mf(config: BPRMFConfig, n_users: int, n_items: int) -> Objective:
    """Matrix factorisation with BPR: LightGCN with L = 0, from Xavier-normal vectors."""
    return _build(Embeddings(n_users, n_items, config.width, uniform=False), 0, config.reg, None)


def build(config: LightGCNConfig, task: Task) -> Objective:
    """LightGCN on the graph of a task."""
    return objective(config, task.adjacency(), *task.sizes)


def build_bpr_mf(config: BPRMFConfig, task: Task) -> Objective:
    """BPR-MF for the users and items of a task."""
    return bpr_mf(config, *task.sizes)
