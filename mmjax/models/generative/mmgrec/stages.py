"""MMGRec before its generator: the graph encoder, alone or jointly with the quantiser of its items.

Stage 0 makes item vectors that know content and neighbours, by two GraphSAGE layers and BPR. The
paper speaks of one "Graph RQ-VAE"; its released code trains the quantiser (`rq_vae`) afterwards.

H. Liu, Y. Wei, X. Song, W. Guan, Y.-F. Li, L. Nie, arXiv 2404.16555; what the text leaves open
follows the released code.

Axes: u users, i items, n = u + i nodes (users first), f all features of an item, d = out_width,
l levels of the quantiser.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.graphs.sparse import Operator
from mmjax.layers.dropout import module_dropout
from mmjax.layers.linear import Linear
from mmjax.layers.sage import SAGEConv
from mmjax.models.collaborative.light_gcn import bpr_with_norms
from mmjax.models.common.task import Task
from mmjax.models.generative import rq_vae
from mmjax.models.generative.mmgrec.config import GraphConfig
from mmjax.models.generative.rq_vae.config import RQVAEConfig
from mmjax.models.generative.rq_vae.network import RQVAE, loss_terms
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

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
        x = module_dropout(self, nn.leaky_relu(x, SLOPE), c.hidden_dropout, train)
        return module_dropout(
            self, SAGEConv(c.out_width, name="sage_1")(graph, x), c.output_dropout, train
        )


class _Joint(NamedTuple):
    """Both networks of the joint stage; static."""

    graph: GraphEncoder
    quantiser: RQVAEConfig


class _Inputs(NamedTuple):
    """Features of all modalities side by side, and the graph, whose rows are means."""

    features: Float[Array, "i f"]
    graph: Operator


def _init(model: GraphEncoder, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs))


def _loss(
    model: GraphEncoder,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    x: Any = model.apply({"params": params}, *inputs, train=True, rngs={"dropout": key})
    rank, _ = bpr_with_norms(x, x, model.n_users, batch, axis)
    return rank, Aux(state, {"rank": rank})


def _vectors(
    model: GraphEncoder, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params}, *inputs)
    return x[: model.n_users], x[model.n_users :]


def graph_inputs(config: GraphConfig, task: Task) -> tuple[Float[Array, "i f"], Operator]:
    """The features side by side, and the graph, whose rows are means.

    Raises:
        ValueError: the task lacks a modality that the configuration names, or has none at all.
    """
    content = task.content(config.modalities, normalise=config.normalise)
    return jnp.concatenate([*content.values()], axis=1), task.adjacency(kind="left")


def build_graph(config: GraphConfig, task: Task) -> Model:
    """The graph encoder as a recommender by inner products, whose vectors are then frozen.

    With one negative a row, as the authors train it, the loss is BPR; with several it is their
    softmax (`losses.info_bpr`).

    Raises:
        ValueError: see `graph_inputs`.
    """
    inputs, model = _Inputs(*graph_inputs(config, task)), GraphEncoder(config, task.n_users)
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )


def _init_jointly(model: _Joint, inputs: _Inputs, key: Array) -> Variables:
    k_graph, k_quantiser, k_books = jax.random.split(key, 3)
    first = dict(model.graph.init(k_graph, *inputs))
    items: Any = model.graph.apply(first, *inputs)
    items = items[model.graph.n_users :]
    second = dict(RQVAE(model.quantiser, items.shape[1]).init(k_quantiser, items[:1]))
    second = rq_vae.init_codebooks(model.quantiser, second, items, k_books)
    params = {"graph": first["params"], "quantiser": second.pop("params")}
    return {"params": params, **second}


def _joint_loss(
    model: _Joint,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    n_users = model.graph.n_users
    k_dropout, k_quantiser = jax.random.split(key)
    first = {"params": params["graph"]}
    x: Any = model.graph.apply(first, *inputs, train=True, rngs={"dropout": k_dropout})
    rank, _ = bpr_with_norms(x, x, n_users, batch, axis)
    items = jnp.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    where = jnp.broadcast_to(batch["where"][:, None], items.shape).ravel()
    rows = x[n_users + items.ravel()]
    terms, state = loss_terms(
        model.quantiser, params["quantiser"], state, rows, k_quantiser, where=where, axis=axis
    )
    metrics = {"rank": rank, **terms._asdict()}
    return rank + metrics.pop("total"), Aux(state, metrics)


def _joint_vectors(
    model: _Joint, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    return _vectors(model.graph, inputs, params["graph"], state, key)


def item_codes(quantiser: RQVAEConfig, variables: Variables, items: Array) -> Int[Array, "i l"]:
    """The codes that jointly trained variables give to the item vectors of their index."""
    return rq_vae.encode(
        quantiser, {**variables, "params": variables["params"]["quantiser"]}, items
    )


def build_joint(config: GraphConfig, quantiser: RQVAEConfig, task: Task) -> Model:
    """The sum of both losses; the quantiser reads the items of the batch, negatives included.

    Retrieval is by the graph's vectors, as that of `build_graph`.

    Raises:
        ValueError: see `graph_inputs`; or the quantiser standardises its inputs, which
            change here.
    """
    if quantiser.normalise == "standard":
        raise ValueError(
            "joint training: normalise 'standard' reads a fixed table; choose 'none' or 'unit'"
        )
    inputs = _Inputs(*graph_inputs(config, task))
    model = _Joint(GraphEncoder(config, task.n_users), quantiser)
    return Model(
        Objective.bind(model, inputs, init=_init_jointly, loss=_joint_loss),
        by_vectors(_joint_vectors, model, inputs, task.n_items),
    )
