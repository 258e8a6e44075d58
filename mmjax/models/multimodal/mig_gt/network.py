"""MIG-GT's network: a propagation per modality, and the sampled global transformer on their sum.

J. Hu, B. Hooi, B. He, Y. Wei, AAAI 2025, arXiv 2412.13994.

Axes: u users, i items, n = u + i nodes, s sampled items a node, t = 1 + s tokens of a memory,
d features, a attention width, b rows of a batch.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.graphs.edges import edge_dropout
from mmjax.blocks.graphs.gathered import Pattern, gather_dot, gather_rows, gather_sum, pattern
from mmjax.blocks.graphs.graph import mgdcf
from mmjax.blocks.graphs.sparse import Operator
from mmjax.layers.modality_encoder import ModalityEncoder
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig

ItemFeatures = Mapping[str, Float[Array, "i _"]]
"""Features of all items by modality."""


class QueryKey(NamedTuple):
    """Query and key projections of a single attention head; the values are the tokens."""

    query: Float[Array, "d a"]
    query_bias: Float[Array, "a"]
    key: Float[Array, "d a"]
    key_bias: Float[Array, "a"]


def project(x: Float[Array, "*n d"], weights: QueryKey) -> tuple[Array, Array]:
    """Scaled queries and keys of `x`, each ``[*n, a]``; their dot product is the logit.

    The scale ``a**-0.5`` is taken into the queries.
    """
    bias = (1,) * (x.ndim - 1) + (-1,)
    scale = weights.query.shape[1] ** -0.5
    q = (x @ weights.query + weights.query_bias.reshape(bias)) * scale
    return q, x @ weights.key + weights.key_bias.reshape(bias)


def memory_attention(
    memory: Float[Array, "*n t d"], weights: QueryKey, *, mix: float = 0.1
) -> Float[Array, "*n t d"]:
    """Self-attention inside each memory: ``mix * softmax(QK'/sqrt(a)) M + (1 - mix) * M``.

    One head, no value projection, no normalisation. Every output row lies within
    ``mix * max|M|`` of ``(1 - mix) * M`` (MIG-GT, arXiv 2412.13994, global transformer).
    """
    q, k = project(memory, weights)
    p = jax.nn.softmax(jnp.einsum("...ta,...sa->...ts", q, k), axis=-1)
    return mix * jnp.einsum("...ts,...sd->...td", p, memory) + (1 - mix) * memory


def sampled_attention(
    nodes: Float[Array, "n d"],
    items: Float[Array, "i d"],
    samples: Pattern,
    weights: QueryKey,
    *,
    mix: float = 0.1,
) -> Float[Array, "n d"]:
    """Token 0 of `memory_attention` on the memory [node; its sampled items], for every node.

    Equal to building the ``[n, 1+s, d]`` memories and keeping the first row, without ever
    holding them: the cost is n*s*d multiply-adds and n*s logits (MIG-GT, arXiv 2412.13994).
    """
    q, own_key = project(nodes, weights)
    item_key = project(items, weights)[1]
    own = (q * own_key).sum(-1, keepdims=True)
    p = jax.nn.softmax(jnp.concatenate([own, gather_dot(q, item_key, samples)], 1), axis=1)
    attended = p[:, :1] * nodes + gather_sum(p[:, 1:], items, samples)
    return mix * attended + (1 - mix) * nodes


def token_scores(
    queries: Float[Array, "b d"],
    nodes: Float[Array, "b d"],
    items: Float[Array, "i d"],
    samples: Pattern,
    weights: QueryKey,
    *,
    mix: float = 0.1,
) -> Float[Array, "b t"]:
    """Inner products of `queries` with all tokens of `memory_attention` on [node; its samples].

    ``u . O_t = mix * sum_s P_ts (u . M_s) + (1 - mix) (u . M_t)``: scores are mixed instead of
    vectors, so that the ``[b, 1+s, d]`` tokens of MIG-GT's unsmooth regularisation never exist.
    """
    q, k = project(nodes, weights)
    item_q, item_k = project(items, weights)
    q = jnp.concatenate([q[:, None], gather_rows(item_q, samples)], 1)
    k = jnp.concatenate([k[:, None], gather_rows(item_k, samples)], 1)
    p = jax.nn.softmax(jnp.einsum("bta,bsa->bts", q, k), axis=-1)
    own = (queries * nodes).sum(-1, keepdims=True)
    scores = jnp.concatenate([own, gather_dot(queries, items, samples)], 1)
    return mix * jnp.einsum("bts,bs->bt", p, scores) + (1 - mix) * scores


class Nodes(NamedTuple):
    """Results of one forward pass."""

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
        features: ItemFeatures,
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
