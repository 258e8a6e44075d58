"""MetaMMF: dynamic multimodal fusion by a network that makes each item's fusion weights.

H. Liu, Y. Wei, F. Liu, W. Wang, L. Nie, T.-S. Chua, TOIS 2024, arXiv 2501.07110. "Meta-learning"
is a hyper-network here, trained with everything else; there is no inner loop. The loss is exact
where the authors' code adds 1e-10 inside the logarithm.

Axes: u users, i items, n = u + i nodes, m all features of an item, k entries of its meta
information, d = width, b rows.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.fusion.item_specific import CP, Layer, item_mlp
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import bpr
from mmjax.layers.linear import Linear
from mmjax.layers.sage import SAGEConv
from mmjax.models.common.task import Task
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

SLOPE = 0.01
_XAVIER = nn.initializers.xavier_uniform()


def _flat_xavier(rows: int, columns: int) -> Any:
    """Xavier's bound of a matrix ``rows x columns`` for a parameter of another shape."""
    bound = (6 / (rows + columns)) ** 0.5
    return lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    x: Float[Array, "i m"]
    """Concatenated features."""
    graph: Operator | None
    trained: Bool[Array, "i"]


class ItemFusion(nn.Module):
    """Content vectors of items: their features through layers with weights of each item."""

    config: MetaMMFConfig

    @nn.compact
    def __call__(self, x: Float[Array, "i m"]) -> Float[Array, "i d"]:
        """Fuse the concatenated features `x`."""
        c = self.config
        s = jnp.zeros((x.shape[0], c.meta_width), x.dtype)
        if c.dynamic != "none":
            s = nn.relu(Linear(x.shape[1], name="extractor_hidden")(x))
            s = Linear(c.meta_width, name="extractor")(s)
        pairs = zip((x.shape[1], *c.widths), c.widths, strict=False)
        layers = [self._layer(n, p, q) for n, (p, q) in enumerate(pairs)]
        return item_mlp(x, s, layers, slope=SLOPE, released=c.dynamic == "official")

    def _layer(self, n: int, p: int, q: int) -> Layer:
        c, k = self.config, self.config.meta_width
        static = self.param(f"static_{n}", _XAVIER, (p, q)) if c.static else None
        if c.dynamic == "none":
            return Layer(static, None)
        if c.dynamic == "full":
            return Layer(static, self.param(f"tensor_{n}", _flat_xavier(k, p * q), (k, p, q)))
        factors = CP(
            rows=self.param(f"rows_{n}", _XAVIER, (p, c.rank)),
            columns=self.param(f"columns_{n}", _XAVIER, (c.rank, q)),
            modes=self.param(f"modes_{n}", _flat_xavier(c.rank * k, 1), (c.rank, k)),
        )
        return Layer(static, factors)


class MetaMMF(nn.Module):
    """Vectors of all nodes, users first: free users, items of fused content and an id."""

    config: MetaMMFConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "i m"],
        graph: Operator | None,
        trained: Bool[Array, "i"],
        *,
        train: bool = False,
    ) -> Float[Array, "n d"]:
        """Vectors whose inner products are the scores.

        Args:
            x: concatenated features.
            graph: user-item graph over all nodes whose rows sum to one; None for the head "mf".
            trained: items with a training pair.
            train: draw the head's dropout from the "dropout" stream.
        """
        c = self.config
        items = ItemFusion(c, name="fusion")(x)
        if c.id_width:
            ids = self.param("item_embedding", _XAVIER, (self.n_items, c.id_width))
            ids = jnp.where(trained[:, None], ids, 0) if c.cold_ids == "zero" else ids
            items = jnp.concatenate([items, ids], axis=1)
        width = items.shape[1]
        nodes = jnp.concatenate(
            [self.param("user_embedding", _XAVIER, (self.n_users, width)), items]
        )
        if graph is None:
            return nodes
        nodes = nn.leaky_relu(SAGEConv(width, name="sage_0")(graph, nodes), SLOPE)
        nodes = self._drop(nodes, c.hidden_dropout, train)
        return self._drop(SAGEConv(width, name="sage_1")(graph, nodes), c.output_dropout, train)

    def _drop(self, x: Array, rate: float, train: bool) -> Array:
        return dropout(self.make_rng("dropout"), x, rate) if train and rate > 0 else x


def _init(model: MetaMMF, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs))


def _loss(
    model: MetaMMF,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    nodes: Any = model.apply({"params": params}, *inputs, train=True, rngs={"dropout": key})
    users, items = nodes[: model.n_users], nodes[model.n_users :]
    user = users[batch["user"]]
    positive = (user * items[batch["item"]]).sum(-1, keepdims=True)
    negatives = jnp.einsum("bd,bkd->bk", user, items[batch["negatives"]])
    each = bpr(jnp.broadcast_to(positive, negatives.shape), negatives).mean(1)
    rank = global_mean(each, axis, where=batch["where"])
    return rank, Aux(state, {"rank": rank})


def _vectors(
    model: MetaMMF, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    nodes: Any = model.apply({"params": params}, *inputs)
    return nodes[: model.n_users], nodes[model.n_users :]


def build(config: MetaMMFConfig, task: Task) -> Model:
    """MetaMMF on the features and the graph of a task.

    The loss is the mean BPR over triples; the paper adds weight decay 1e-6 on all parameters
    through the optimiser.

    Raises:
        ValueError: no features, a modality is not among them, or neither part of the weights.
    """
    if not (config.static or config.dynamic != "none"):
        raise ValueError("MetaMMF: static=False needs a dynamic part, but dynamic is 'none'")
    content = task.content(config.modalities, normalise=config.normalise)
    x = jnp.concatenate(list(content.values()), axis=1)
    graph = task.adjacency(kind="left") if config.head == "gcn" else None
    trained = jnp.asarray(np.bincount(task.train[:, 1], minlength=task.n_items) > 0)
    model, inputs = MetaMMF(config, *task.sizes), _Inputs(x, graph, trained)
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
