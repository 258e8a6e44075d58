"""GRCN: graph-refined convolutional network for multimedia recommendation.

Y. Wei, X. Wang, L. Nie, X. He, T.-S. Chua, ACM MM 2020, arXiv 2111.02036.

Axes: u users, i items, n = u + i nodes, e directed edges, d = width, w = d (1 + modalities),
b rows, k negatives.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.segments import edge_softmax
from mmjax.blocks.graphs.sparse import Operator, edge_dots, spmm
from mmjax.blocks.losses.pairwise import info_bpr
from mmjax.layers.linear import Linear
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class GRCNConfig:
    """GRCN as MMRec trains it."""

    modalities: tuple[str, ...] = ()
    """Modalities that vote on the edges; none named means all there are."""
    width: int = 64
    """Dimension of id vectors and of each modality's vectors."""
    routing: int = 3
    """Rounds of routing, in which users gather the content of their items."""
    hops: int = 2
    """Convolutions of the id vectors over the refined graph."""
    l2: float = 1e-3
    """Weight of the mean squares of the batch's id vectors and user preferences."""
    penalised_tables: tuple[str, ...] = ()
    """Modalities of which the preferences of all users are penalised besides: none in the authors'
    code, the images in MMRec's."""
    official: bool = False
    """Send the routing's messages from users to items, as the released code does; no message
    then reaches a user, and routing leaves the preferences as they are."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: dict[str, Array]
    graph: Operator
    to_users: Operator


class _Nodes(NamedTuple):
    """Results of one forward pass."""

    final: Float[Array, "n w"]
    """[ids after convolution; each modality's vectors]; scores are inner products."""
    ids: Float[Array, "n d"]
    """Id table."""
    preferences: tuple[Float[Array, "u d"], ...]
    """Each modality's table of user preferences, before routing."""
    routed: tuple[Float[Array, "u d"], ...]
    """The same after routing."""
    weights: Float[Array, "e"]
    """Weights of the refined graph's edges, at least 0."""


def attend(graph: Operator, x: Float[Array, "n d"]) -> tuple[Array, Array]:
    """Attention of every node over the nodes it reads, by inner products.

    Returns the weights ``a[e] = softmax_e(x_receiver . x_sender)`` over the edges into a node,
    and the sums ``[n, d]`` of what is read (neighbour routing, section 3.1).
    """
    weights = edge_softmax(graph, edge_dots(graph, x, x), x.shape[0])
    return weights, spmm(graph, x, weights)


class GRCN(nn.Module):
    """Content prunes the graph softly, ids are convolved over what is left; users come first."""

    config: GRCNConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(
        self, features: Mapping[str, Float[Array, "i _"]], graph: Operator, to_users: Operator
    ) -> _Nodes:
        """Vectors of all nodes.

        Args:
            features: item features by modality.
            graph: user-item edges in both directions; its weights are not read.
            to_users: those of its edges that end in a user.
        """
        c, n = self.config, self.n_users + self.n_items
        init = nn.initializers.xavier_normal()
        ids = self.param("id_embedding", init, (n, c.width))
        ones = jnp.ones((n, 1))
        votes, content, preferences, routed = [], [], [], []
        # By the alphabet, as a dict that went through jit is.
        for name, raw in sorted(features.items()):
            items = Linear(c.width, kernel_init=init, name=name)(raw)
            items = l2_normalise(nn.leaky_relu(items))
            preferences.append(self.param(f"{name}_preference", init, (self.n_users, c.width)))
            users = l2_normalise(preferences[-1])
            for _ in range(0 if c.official else c.routing):
                received = attend(to_users, jnp.concatenate([users, items]))[1]
                users = l2_normalise(users + received[: self.n_users])
            routed.append(users)
            x = jnp.concatenate([users, items])
            attention, received = attend(graph, x)
            content.append(x + received)
            confidence = self.param(f"{name}_confidence", init, (n, 1))
            votes.append(attention * edge_dots(graph, ones, confidence))
        weights = nn.relu(functools.reduce(jnp.maximum, votes))
        h = total = l2_normalise(ids)
        for _ in range(c.hops):
            h = spmm(graph, h, weights)
            total = total + h
        final = jnp.concatenate([total, *content], axis=1)
        return _Nodes(final, ids, tuple(preferences), tuple(routed), weights)


def _init(model: GRCN, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs))


def _loss(
    model: GRCN,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    nodes: Any = model.apply({"params": params}, *inputs)
    user, where = batch["user"], batch["where"]
    items = model.n_users + jnp.concatenate([batch["item"][:, None], batch["negatives"]], 1)
    scores = jnp.einsum("bd,bkd->bk", nodes.final[user], nodes.final[items])
    rank = global_mean(info_bpr(scores[:, 0], scores[:, 1:]), axis, where=where)
    squares = jnp.square(nodes.ids[user]).mean(1) + jnp.square(nodes.ids[items]).mean((1, 2))
    squares = squares + sum(jnp.square(p[user]).mean(1) for p in nodes.preferences)
    norms = global_mean(squares, axis, where=where)
    tables = zip(sorted(inputs.features), nodes.preferences, strict=True)
    norms += sum(jnp.square(p).mean() for n, p in tables if n in model.config.penalised_tables)
    return rank + model.config.l2 * norms, Aux(state, {"rank": rank, "norms": norms})


def _vectors(
    model: GRCN, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    nodes: Any = model.apply({"params": params}, *inputs)
    return nodes.final[: model.n_users], nodes.final[model.n_users :]


def build(config: GRCNConfig, task: Task) -> Model:
    """GRCN on the graph and the features of a task; BPR with k negatives is InfoBPR.

    Raises:
        ValueError: the task has no features, or lacks a modality that is named.
    """
    model = GRCN(config, *task.sizes)
    features = task.content(config.modalities, normalise=config.normalise)
    inputs = _Inputs(features, task.adjacency(), task.one_way("users"))
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
