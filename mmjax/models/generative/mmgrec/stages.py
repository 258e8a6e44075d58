"""MMGRec before its generator: the graph encoder, alone or jointly with the quantiser of its items.

Stage 0 makes item vectors that know content and neighbours, by two GraphSAGE layers and BPR. The
paper speaks of one "Graph RQ-VAE"; its released code trains the quantiser (`rq_vae`) afterwards.

H. Liu, Y. Wei, X. Song, W. Guan, Y.-F. Li, L. Nie, arXiv 2404.16555; what the text leaves open
follows the released code.

Axes: u users, i items, n = u + i nodes (users first), f all features of an item, d = out_width,
l levels of the quantiser.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Int

from mmjax.blocks.graphs.sparse import Operator
from mmjax.layers.drop import drop
from mmjax.layers.linear import Linear
from mmjax.layers.sage import SAGEConv
from mmjax.models.collaborative.light_gcn import bpr_with_norms
from mmjax.models.common.task import Task
from mmjax.models.generative import rq_vae
from mmjax.models.generative.mmgrec.config import GraphConfig
from mmjax.models.generative.rq_vae.config import RQVAEConfig
from mmjax.models.generative.rq_vae.network import RQVAE, loss_terms
from mmjax.objective import Aux, Objective, Variables

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
    content = task.content(config.modalities, normalise=config.unit)
    return jnp.concatenate([*content.values()], axis=1), task.adjacency(kind="left")


def build_graph(config: GraphConfig, task: Task) -> Objective:
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


def _init_jointly(
    model: GraphEncoder, quantiser: RQVAEConfig, features: Array, graph: Operator, key: Array
) -> dict[str, Any]:
    k_graph, k_quantiser, k_books = jax.random.split(key, 3)
    first = dict(model.init(k_graph, features, graph))
    items: Any = model.apply(first, features, graph)
    items = items[model.n_users :]
    second = dict(RQVAE(quantiser, items.shape[1]).init(k_quantiser, items[:1]))
    second = rq_vae.init_codebooks(quantiser, second, items, k_books)
    params = {"graph": first["params"], "quantiser": second.pop("params")}
    return {"params": params, **second}


def _joint_loss(
    model: GraphEncoder,
    quantiser: RQVAEConfig,
    features: Array,
    graph: Operator,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    k_dropout, k_quantiser = jax.random.split(key)
    first = {"params": params["graph"]}
    x: Any = model.apply(first, features, graph, train=True, rngs={"dropout": k_dropout})
    rank, _ = bpr_with_norms(x, x, model.n_users, batch, axis)
    met = jnp.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    where = jnp.broadcast_to(batch["where"][:, None], met.shape).ravel()
    rows = x[model.n_users + met.ravel()]
    terms, state = loss_terms(
        quantiser, params["quantiser"], state, rows, k_quantiser, where=where, axis=axis
    )
    metrics = {"rank": rank, **terms._asdict()}
    return rank + metrics.pop("total"), Aux(state, metrics)


def _predict_jointly(
    model: GraphEncoder, features: Array, graph: Operator, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params["graph"]}, features, graph)
    return x[: model.n_users], x[model.n_users :]


def item_codes(quantiser: RQVAEConfig, variables: Variables, items: Array) -> Int[Array, "i l"]:
    """The codes that jointly trained variables give to the item vectors they predict."""
    return rq_vae.encode(
        quantiser, {**variables, "params": variables["params"]["quantiser"]}, items
    )


def build_joint(config: GraphConfig, quantiser: RQVAEConfig, task: Task) -> Objective:
    """The sum of both losses; the quantiser reads the items of the batch, negatives included.

    `predict` returns the vectors of users and items, as that of `build_graph` does.

    Raises:
        ValueError: see `inputs`; or the quantiser standardises its inputs, which
            change here.
    """
    if quantiser.normalise == "standard":
        raise ValueError(
            "joint training: normalise 'standard' reads a fixed table; choose 'none' or 'unit'"
        )
    bound, model = inputs(config, task), GraphEncoder(config, task.n_users)
    return Objective(
        Partial(functools.partial(_init_jointly, model, quantiser), *bound),
        Partial(functools.partial(_joint_loss, model, quantiser), *bound),
        Partial(functools.partial(_predict_jointly, model), *bound),
    )
