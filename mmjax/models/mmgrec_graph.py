"""MMGRec, stage 0: item vectors that know content and neighbours, by two GraphSAGE layers and BPR.

H. Liu, Y. Wei, X. Song, W. Guan, Y.-F. Li, L. Nie, arXiv 2404.16555; what the text leaves open
follows the released code.

Axes: u users, i items, n = u + i nodes (users first), f all features of an item, d = out_width.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float

from mmjax.blocks.sparse import Operator
from mmjax.layers.drop import drop
from mmjax.layers.linear import Linear
from mmjax.layers.sage import SAGEConv
from mmjax.models.configs.mmgrec import GraphConfig
from mmjax.models.light_gcn import bpr_with_norms
from mmjax.models.task import Task
from mmjax.objective import Aux, Objective

SLOPE = 0.01


class GraphEncoder(nn.Module):
    """Vectors of all nodes: free users and projected features through two convolutions."""

    config: GraphConfig
    n_users: int

    @nn.compact
    def __call__(
        self, features: Float[Array, "i f"], graph: Operator, *, train: bool = False
    ) -> Float[Array, "n d"]:
        """Vectors whose inner products are the scores.

        Args:
            features: of all modalities side by side.
            graph: user-item graph over all nodes whose rows sum to one or are empty.
            train: draw dropout from the stream "dropout".
        """
        c = self.config
        init = nn.initializers.xavier_uniform()
        users = self.param("user_embedding", init, (self.n_users, c.width))
        items = Linear(c.width, bias=False, name="project")(features)
        x = SAGEConv(c.width, name="sage_0")(graph, jnp.concatenate([users, items]))
        x = drop(self, nn.leaky_relu(x, SLOPE), c.hidden_dropout, train)
        return drop(self, SAGEConv(c.out_width, name="sage_1")(graph, x), c.output_dropout, train)


def _loss(
    model: GraphEncoder,
    features: Array,
    graph: Operator,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    x: Any = model.apply({"params": params}, features, graph, train=True, rngs={"dropout": key})
    rank, _ = bpr_with_norms(x, x, model.n_users, batch, axis)
    return rank, Aux(state, {"rank": rank})


def _predict(
    model: GraphEncoder, features: Array, graph: Operator, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params}, features, graph)
    return x[: model.n_users], x[model.n_users :]


def inputs(config: GraphConfig, task: Task) -> tuple[Float[Array, "i f"], Operator]:
    """The features side by side, and the graph, whose rows are means.

    Raises:
        ValueError: the task lacks a modality that the configuration names, or has none at all.
    """
    content = task.content(config.modalities, unit=config.unit)
    return jnp.concatenate([*content.values()], axis=1), task.adjacency(kind="left")


def build(config: GraphConfig, task: Task) -> Objective:
    """The graph encoder as a recommender by inner products; what it predicts is then frozen.

    With one negative a row, as the authors train it, the loss is BPR; with several it is their
    softmax (`losses.info_bpr`).

    Raises:
        ValueError: see `inputs`.
    """
    bound, model = inputs(config, task), GraphEncoder(config, task.n_users)
    return Objective(
        Partial(lambda features, graph, key: dict(model.init(key, features, graph)), *bound),
        Partial(functools.partial(_loss, model), *bound),
        Partial(functools.partial(_predict, model), *bound),
    )
