"""MIG-GT: modality-independent graph neural networks with a global transformer.

J. Hu, B. Hooi, B. He, Y. Wei, AAAI 2025, arXiv 2412.13994.

Axes: u users, i items, n = u + i nodes, d = width, s sampled items, b rows, k negatives.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_sum
from mmjax.blocks.common.projection import l2_normalise, random_projection
from mmjax.blocks.graphs.gathered import gather_dot, pattern
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import half_square, info_bpr
from mmjax.models.common.task import Task
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig
from mmjax.models.multimodal.mig_gt.network import MIGGT, ItemFeatures, Nodes, token_scores
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

RawFeatures = Mapping[str, Float[Array, "i _"] | Float[np.ndarray, "i _"]]
"""Features of all items by modality, as the data hold them."""


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: ItemFeatures
    graph: Operator


def loss_terms(
    config: MIGGTConfig,
    nodes: Nodes,
    n_users: int,
    rows: Mapping[str, Array],
    axis: str | None = None,
) -> dict[str, Float[Array, ""]]:
    """The three terms of the objective, each summed over the global batch (section 3).

    Args:
        config: weights of the terms.
        nodes: a forward pass.
        n_users: number of users, the first rows of `nodes`.
        rows: int32 `user`, `item` ``[b]`` and `negatives` ``[b, k]``, bool `where` ``[b]``.
        axis: mapped axis over which the batch is split, if any.

    Returns:
        ``rank``: InfoBPR of the positive against its negatives; ``tur``: weighted unsmooth
        regularisation, the item's own token against its sampled tokens; ``l2``: weighted half
        squared norm of all final vectors.
    """
    users, items = nodes.final[:n_users], nodes.final[n_users:]
    user, where = users[rows["user"]], rows["where"]
    positive = (user * items[rows["item"]]).sum(-1)
    negatives = gather_dot(user, items, pattern(rows["negatives"], items.shape[0]))
    terms = {
        "rank": global_sum(info_bpr(positive, negatives), axis, where=where),
        "l2": config.l2 * half_square(nodes.final),
    }
    if nodes.attention is not None and config.tur_weight > 0:
        tokens = token_scores(
            user,
            nodes.fused[n_users + rows["item"]],
            nodes.fused[n_users:],
            pattern(nodes.samples[n_users + rows["item"]], items.shape[0]),
            nodes.attention,
            mix=config.mix,
        )
        tur = info_bpr(tokens[:, 0], tokens[:, 1:])
        terms["tur"] = config.tur_weight * global_sum(tur, axis, where=where)
    return terms


def prepare(config: MIGGTConfig, features: RawFeatures) -> dict[str, Float[Array, "i _"]]:
    """Features as the encoders read them, before any random projection.

    Raises:
        ValueError: a modality that the configuration names is not there.
    """
    config = config.on(tuple(features))
    return {
        name: l2_normalise(jnp.asarray(x)) if name in config.normalise else jnp.asarray(x)
        for name, x in features.items()
        if name in config.modalities
    }


def _init(model: MIGGT, inputs: _Inputs, key: Array) -> Variables:
    k_project, k_params, k_samples = jax.random.split(key, 3)
    c = model.config
    projected = {
        name: random_projection(
            jax.random.fold_in(k_project, n), inputs.features[name], c.projection_width
        )
        for n, name in enumerate(c.project)
    }
    streams = {"params": k_params, "samples": k_samples}
    variables = model.init(streams, {**inputs.features, **projected}, inputs.graph)
    return {**variables, "projected": projected} if projected else dict(variables)


def _forward(model: MIGGT, inputs: _Inputs, params: Params, state: State, **options: Any) -> Any:
    features = {**inputs.features, **state.get("projected", {})}
    return model.apply({"params": params, **state}, features, inputs.graph, **options)


def _loss(
    model: MIGGT,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    k_dropout, k_samples = jax.random.split(key)
    nodes, updated = _forward(
        model,
        inputs,
        params,
        state,
        train=True,
        rngs={"dropout": k_dropout, "samples": k_samples},
        mutable=["batch_stats"],
    )
    terms = loss_terms(model.config, nodes, model.n_users, batch, axis)
    return sum(terms.values(), jnp.zeros(())), Aux({**state, **updated}, terms)


def _vectors(
    model: MIGGT, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    def draw(key: Array) -> Array:
        return _forward(model, inputs, params, state, rngs={"samples": key}).final

    c = model.config
    draws = c.eval_samples if c.samples else 1
    final = jax.lax.map(draw, jax.random.split(key, draws)).mean(0) if draws > 1 else draw(key)
    return final[: model.n_users], final[model.n_users :]


def build_from_graph(
    config: MIGGTConfig, features: RawFeatures, graph: Operator, n_users: int, n_items: int
) -> Model:
    """MIG-GT, retrieving by inner products of vectors that are means over `eval_samples` draws.

    The loss takes rows ``user, item [b]``, ``negatives [b, k]``, ``where [b]`` and sums over
    them, as the paper does.

    Args:
        config: hyper-parameters.
        features: item features by modality, each float ``[i, m]``.
        graph: symmetric normalised bipartite adjacency with self-loops, users first.
        n_users: number of users, the first nodes.
        n_items: number of items, the remaining nodes.

    Raises:
        ValueError: a modality that the configuration names is not among the features.
    """
    config = config.on(tuple(features))
    model = MIGGT(config, n_users, n_items)
    inputs = _Inputs(prepare(config, features), graph)
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, n_items),
    )


def build(config: MIGGTConfig, task: Task) -> Model:
    """MIG-GT on the graph and the features of a task.

    Raises:
        ValueError: the data have no features, or not those that the configuration names.
    """
    if not task.features:
        raise ValueError(
            "modalities: the data have no features, which MIG-GT reads; choose light_gcn "
            "(--method), or add features"
        )
    return build_from_graph(config, task.features, task.adjacency(self_loops=True), *task.sizes)
