"""BM3: bootstrapped multi-modal model, which learns from positive pairs alone.

X. Zhou et al., WWW 2023, arXiv 2207.05969.

Axes: u users, i items, n = u + i nodes, d = width, b rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import emb_loss
from mmjax.layers.item_content import Content
from mmjax.layers.linear import Linear
from mmjax.models.collaborative.light_gcn import Embeddings
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class BM3Config:
    """BM3 with MMRec's best setting for Baby."""

    modalities: tuple[str, ...] = ()
    """Content modalities; none named means all that the data have."""
    normalise: bool = True
    """Scale every item's features of a modality to length one (MMRec reads them as published)."""
    width: int = 64
    """Dimension of user and item vectors."""
    hops: int = 1
    """Propagation steps; the output is the mean of steps 0 to L."""
    dropout: float = 0.5
    """Dropout of the targets, in [0, 1)."""
    content_weight: float = 2.0
    """Weight of the losses that involve content."""
    l2: float = 0.1
    """Weight of the norms of all user and item vectors over the number of items."""
    trainable_features: bool = True
    """Train the feature tables too, as the authors do."""


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: dict[str, Array]
    graph: Operator


class _Nodes(NamedTuple):
    """Results of one forward pass, before the predictor."""

    users: Float[Array, "u d"]
    items: Float[Array, "i d"]
    content: dict[str, Float[Array, "i d"]]


class BM3(nn.Module):
    """``(u, i) = LGC(E)`` with the item ids added again, and a linear predictor q."""

    config: BM3Config
    n_users: int
    n_items: int

    def setup(self) -> None:
        c, init = self.config, nn.initializers.xavier_normal()
        self.ids = Embeddings(self.n_users, self.n_items, c.width)
        self.content = Content(c.width, c.trainable_features, kernel_init=init)
        self.predictor = Linear(c.width, kernel_init=init)

    def __call__(self, features: Mapping[str, Float[Array, "i _"]], graph: Operator) -> _Nodes:
        """Vectors of all users, items and items' modalities."""
        initial = self.ids()
        x = lightgcn(graph, initial, layers=self.config.hops)
        items = x[self.n_users :] + initial[self.n_users :]
        return _Nodes(x[: self.n_users], items, self.content(features))

    def online(self, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The predictor q."""
        return self.predictor(x)

    def scored(self, features: Any, graph: Operator) -> tuple[Array, Array]:
        """``q(u)`` and ``q(i)``, whose inner products are the scores."""
        nodes = self(features, graph)
        return self.online(nodes.users), self.online(nodes.items)


def alignment(online: Float[Array, "b d"], target: Float[Array, "b d"]) -> Float[Array, "b"]:
    """``1 - cos(online, stop_gradient(target))`` for each row, in [0, 2] (eq. 8 to 11)."""
    return 1 - (l2_normalise(online) * l2_normalise(lax.stop_gradient(target))).sum(-1)


def _init(model: BM3, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs, method="scored"))


def _loss(
    model: BM3,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    c, user, item = model.config, batch["user"], batch["item"]
    nodes: Any = model.apply({"params": params}, *inputs)
    # Whole tables are dropped out, so that the targets do not depend on how a batch is split.
    keys = iter(jax.random.split(key, 2 + len(nodes.content)))
    target = jax.tree.map(lambda x: dropout(next(keys), lax.stop_gradient(x), c.dropout), nodes)
    u_target, i_target = target.users[user], target.items[item]

    def align(x: Array, target: Array) -> Array:
        online: Any = model.apply({"params": params}, x, method="online")
        return global_mean(alignment(online, target), axis, where=batch["where"])

    terms = {"pairs": align(nodes.users[user], i_target) + align(nodes.items[item], u_target)}
    for name, z in nodes.content.items():
        both = align(z[item], i_target) + align(z[item], target.content[name][item])
        terms[name] = c.content_weight * both
    # Both norms are divided by the number of items, as in MMRec.
    norms = emb_loss(nodes.items) + model.n_users / model.n_items * emb_loss(nodes.users)
    terms["norms"] = c.l2 * norms
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms)


def _vectors(
    model: BM3, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    vectors: Any = model.apply({"params": params}, *inputs, method="scored")
    return vectors


def build(config: BM3Config, task: Task) -> Model:
    """BM3 on the graph and the features of a task; the batches' negatives are not read.

    Raises:
        ValueError: a modality is missing.
    """
    features = task.content(config.modalities, normalise=config.normalise)
    inputs = _Inputs(features, task.adjacency())
    model = BM3(config, *task.sizes)
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
