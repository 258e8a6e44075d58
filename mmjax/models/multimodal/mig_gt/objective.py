"""MIG-GT: modality-independent graph neural networks with a global transformer.

J. Hu, B. Hooi, B. He, Y. Wei, AAAI 2025, arXiv 2412.13994.

Axes: u users, i items, n = u + i nodes, d = width, s sampled items, b rows, k negatives.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Int

from mmjax.blocks.common.collectives import global_sum
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.common.projection import l2_normalise, random_projection
from mmjax.blocks.graphs.edges import edge_dropout
from mmjax.blocks.graphs.gathered import gather_dot, pattern
from mmjax.blocks.graphs.graph import mgdcf
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import half_square, info_bpr
from mmjax.layers.modality_encoder import ModalityEncoder
from mmjax.models.common.task import Task
from mmjax.models.multimodal.mig_gt.attention import QueryKey, sampled_attention, token_scores
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig
from mmjax.objective import Aux, Objective

Features = Mapping[str, Float[Array, "i _"]]
Given = Mapping[str, Float[Array, "i _"] | Float[np.ndarray, "i _"]]


class Nodes(NamedTuple):
    """What one forward pass returns."""

    final: Float[Array, "n d"]
    """Vectors after the global transformer; scores are their inner products."""
    fused: Float[Array, "n d"]
    """Sum of the propagated modalities, which the transformer reads."""
    samples: Int[Array, "n s"]
    """Items that each node drew."""
    attention: QueryKey | None
    """The transformer's projections; None without samples."""


class MIGGT(nn.Module):
    """One propagation per modality with its own hop count, summed, then sampled attention.

    Users come first among the nodes.
    """

    config: MIGGTConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(
        self,
        features: Features,
        graph: Operator,
        *,
        samples: Int[Array, "n s"] | None = None,
        train: bool = False,
    ) -> Nodes:
        """Vectors of all nodes.

        Args:
            features: frozen item features by modality name.
            graph: symmetric normalised bipartite adjacency with self-loops, users first.
            samples: items drawn for each node, in [0, n_items); None draws them from the
                "samples" stream.
            train: dropout (stream "dropout") and batch statistics of the current items.

        Raises:
            ValueError: the number of hop counts is not the number of modalities, or every
                modality is left out.
        """
        c = self.config
        if len(c.hops) != len(c.modalities):
            raise ValueError(f"hops {c.hops} must give one count for each of {c.modalities}")
        no_users = jnp.zeros((self.n_users, c.width))

        fused = None
        if c.id_hops >= 0:
            users = self._drop(self._embedding("user", self.n_users), c.user_dropout, train)
            items = jnp.zeros((self.n_items, c.width))
            if c.item_embedding:
                items = self._drop(self._embedding("item", self.n_items), c.item_dropout, train)
            fused = self._propagate(graph, users, items, c.id_hops, train)
        for name, hops in zip(c.modalities, c.hops, strict=True):
            if hops < 0:
                continue
            items = ModalityEncoder(
                c.hidden, c.width, c.input_dropout, c.hidden_dropout, name=f"encoder_{name}"
            )(features[name], train=train)
            items = self._drop(items, c.item_dropout, train)
            z = self._propagate(graph, no_users, items, hops, train)
            fused = z if fused is None else fused + z
        if fused is None:
            raise ValueError("every modality is left out: set id_hops or one of hops to 0 or more")

        fused = self._drop(fused, c.fused_dropout, train)
        return self._attend(fused, samples)

    def _embedding(self, kind: str, rows: int) -> Array:
        d = self.config.width
        return self.param(f"{kind}_embedding", nn.initializers.normal(d**-0.5), (rows, d))

    def _drop(self, x: Array, rate: float, train: bool) -> Array:
        return dropout(self.make_rng("dropout"), x, rate) if train and rate > 0 else x

    def _propagate(
        self, graph: Operator, users: Array, items: Array, hops: int, train: bool
    ) -> Array:
        c, weights = self.config, None
        if train and c.edge_dropout > 0 and hops > 0:
            weights = edge_dropout(self.make_rng("dropout"), graph.weights, c.edge_dropout)
        h = jnp.concatenate([users, items])
        return mgdcf(graph, h, hops=hops, alpha=c.alpha, beta=c.beta, weights=weights)

    def _attend(self, fused: Array, samples: Array | None) -> Nodes:
        c = self.config
        if c.samples == 0:
            return Nodes(fused, fused, jnp.zeros((fused.shape[0], 0), jnp.int32), None)
        if samples is None:
            shape = (fused.shape[0], c.samples)
            samples = jax.random.randint(self.make_rng("samples"), shape, 0, self.n_items)
        linear = nn.initializers.xavier_uniform()
        weights = QueryKey(
            self.param("query", linear, (c.width, c.attention_width)),
            self.param("query_bias", nn.initializers.zeros, (c.attention_width,)),
            self.param("key", linear, (c.width, c.attention_width)),
            self.param("key_bias", nn.initializers.zeros, (c.attention_width,)),
        )
        reads = pattern(samples, self.n_items)
        final = sampled_attention(fused, fused[self.n_users :], reads, weights, mix=c.mix)
        return Nodes(final, fused, samples, weights)


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


def prepare(config: MIGGTConfig, features: Given) -> dict[str, Float[Array, "i _"]]:
    """Features as the encoders read them, before any random projection.

    Raises:
        ValueError: a modality that the configuration names is not there.
    """
    for field in ("modalities", "normalise", "project"):
        if missing := set(getattr(config, field)) - set(features):
            raise ValueError(f"{field}: {sorted(missing)} not among the features {list(features)}")
    return {
        name: l2_normalise(jnp.asarray(x)) if name in config.normalise else jnp.asarray(x)
        for name, x in features.items()
        if name in config.modalities
    }


def _init(model: MIGGT, features: Features, graph: Operator, key: Array) -> dict[str, Any]:
    k_project, k_params, k_samples = jax.random.split(key, 3)
    c = model.config
    projected = {
        name: random_projection(
            jax.random.fold_in(k_project, n), features[name], c.projection_width
        )
        for n, name in enumerate(c.project)
    }
    streams = {"params": k_params, "samples": k_samples}
    variables = model.init(streams, {**features, **projected}, graph)
    return {**variables, "projected": projected} if projected else dict(variables)


def _forward(
    model: MIGGT, features: Features, graph: Operator, params: Any, state: Any, **options: Any
) -> Any:
    features = {**features, **state.get("projected", {})}
    return model.apply({"params": params, **state}, features, graph, **options)


def _loss(
    model: MIGGT,
    features: Features,
    graph: Operator,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    k_dropout, k_samples = jax.random.split(key)
    nodes, updated = _forward(
        model,
        features,
        graph,
        params,
        state,
        train=True,
        rngs={"dropout": k_dropout, "samples": k_samples},
        mutable=["batch_stats"],
    )
    terms = loss_terms(model.config, nodes, model.n_users, batch, axis)
    return sum(terms.values(), jnp.zeros(())), Aux({**state, **updated}, terms)


def _predict(
    model: MIGGT, features: Features, graph: Operator, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    def draw(key: Array) -> Array:
        nodes = _forward(model, features, graph, params, state, rngs={"samples": key})
        return nodes.final

    c = model.config
    draws = c.eval_samples if c.samples else 1
    final = jax.lax.map(draw, jax.random.split(key, draws)).mean(0) if draws > 1 else draw(key)
    return final[: model.n_users], final[model.n_users :]


def build_from_graph(
    config: MIGGTConfig, features: Given, graph: Operator, n_users: int, n_items: int
) -> Objective:
    """MIG-GT as an `Objective`.

    Args:
        config: hyper-parameters.
        features: item features by modality, each float ``[i, m]``.
        graph: symmetric normalised bipartite adjacency with self-loops, users first.
        n_users: number of users, the first nodes.
        n_items: number of items, the remaining nodes.

    Returns:
        `loss` takes rows ``user, item [b]``, ``negatives [b, k]``, ``where [b]`` and sums over
        them, as the paper does; `predict` returns user and item vectors, averaged over
        `eval_samples` draws of the global transformer.
    """
    model = MIGGT(config, n_users, n_items)
    bound = (prepare(config, features), graph)
    return Objective(
        *(Partial(functools.partial(f, model), *bound) for f in (_init, _loss, _predict))
    )


def build(config: MIGGTConfig, task: Task) -> Objective:
    """MIG-GT on the graph and the features of a task."""
    return build_from_graph(config, task.features, task.adjacency(self_loops=True), *task.sizes)
