"""MMGRec, stages 0 and 1 at once: the graph encoder and the quantiser of what it makes of items.

The paper speaks of one "Graph RQ-VAE" (arXiv 2404.16555); its released code trains one after the
other, as `mmgrec_graph` and `rq_vae` do.

Axes: u users, i items, d width of their vectors, l levels.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Int

from mmjax.blocks.sparse import Operator
from mmjax.models import rq_vae
from mmjax.models.configs.mmgrec import GraphConfig
from mmjax.models.configs.rq_vae import RQVAEConfig
from mmjax.models.light_gcn import bpr_with_norms
from mmjax.models.mmgrec_graph import GraphEncoder, inputs
from mmjax.models.rq_vae_step import RQVAE, loss_terms
from mmjax.models.task import Task
from mmjax.objective import Aux, Objective, Variables


def _init(
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


def _loss(
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


def _predict(
    model: GraphEncoder, features: Array, graph: Operator, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params["graph"]}, features, graph)
    return x[: model.n_users], x[model.n_users :]


def item_codes(quantiser: RQVAEConfig, variables: Variables, items: Array) -> Int[Array, "i l"]:
    """The codes that jointly trained variables give to the item vectors they predict."""
    return rq_vae.encode(
        quantiser, {**variables, "params": variables["params"]["quantiser"]}, items
    )


def build(config: GraphConfig, quantiser: RQVAEConfig, task: Task) -> Objective:
    """The sum of both losses; the quantiser reads the items of the batch, negatives included.

    `predict` returns the vectors of users and items, as `mmgrec_graph.build`'s does.

    Raises:
        ValueError: see `mmgrec_graph.inputs`; or the quantiser standardises its inputs, which
            change here.
    """
    if quantiser.normalise == "standard":
        raise ValueError(
            "joint training: normalise 'standard' reads a fixed table; choose 'none' or 'unit'"
        )
    bound, model = inputs(config, task), GraphEncoder(config, task.n_users)
    return Objective(
        Partial(functools.partial(_init, model, quantiser), *bound),
        Partial(functools.partial(_loss, model, quantiser), *bound),
        Partial(functools.partial(_predict, model), *bound),
    )
