"""MMGCN: multi-modal graph convolution network for personalised recommendation of micro-video.

Y. Wei, X. Wang, L. Nie, X. He, R. Hong, T.-S. Chua, ACM MM 2019.

Axes: u users, i items, n = u + i nodes, d = width, b rows, k negatives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.sparse import Operator, spmm
from mmjax.blocks.losses.pairwise import info_bpr
from mmjax.layers.linear import Linear
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class MMGCNConfig:
    """MMGCN as MMRec trains it."""

    modalities: tuple[str, ...] = ()
    """Modalities, each a graph network of its own; none named means all there are."""
    width: int = 64
    """Dimension of id vectors and of every hop's output."""
    hops: int = 3
    """Layers of each modality's network, each of which propagates once."""
    latent: int = 256
    """Width that long features are mapped to before the first layer."""
    longest: int = 512
    """Features with more entries than this are long; others enter as they are."""
    l2: float = 1e-3
    """Weight of the mean squares of the batch's id vectors and of the users' preferences."""
    penalised: tuple[str, ...] = ()
    """Modalities whose preferences are penalised; none named means all. The authors' code and
    MMRec penalise those of the images alone."""
    trainable_ids: bool = True
    """Train the id vectors and the users' preferences. False keeps them at their random start,
    as the released code does, which never registers them as parameters."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: dict[str, Array]
    graph: Operator


class _Nodes(NamedTuple):
    """Results of one forward pass."""

    final: Float[Array, "n d"]
    """Mean over modalities of the last layer; scores are inner products."""
    ids: Float[Array, "n d"]
    """Id vectors."""
    preferences: tuple[Array, ...]
    """Each modality's user table ``[u, m]``, m the width of its input."""


class MMGCN(nn.Module):
    """One graph network per modality, tied together by the id vectors; users come first."""

    config: MMGCNConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, features: Mapping[str, Float[Array, "i _"]], graph: Operator) -> _Nodes:
        """Vectors of all nodes; a row of `graph` is the mean over a node's neighbours."""
        c = self.config
        ids = self._table("id_embedding", self.n_users + self.n_items, c.width)
        preferences, total = [], jnp.zeros_like(ids)
        for name, items in features.items():
            if items.shape[1] > c.longest:
                items = Linear(c.latent, name=f"{name}_latent")(items)
            preferences.append(self._table(f"{name}_preference", self.n_users, items.shape[1]))
            x = l2_normalise(jnp.concatenate([preferences[-1], items]))
            for layer in range(c.hops):
                # The authors name an initialiser for all maps of the first layer alone.
                init = None if layer else nn.initializers.xavier_normal()
                x = self._layer(x, ids, graph, f"{name}_{layer}", init)
            total = total + x
        return _Nodes(total / len(features), ids, tuple(preferences))

    def _layer(self, x: Array, ids: Array, graph: Operator, name: str, combine_init: Any) -> Array:
        """Aggregation, then combination with the id vectors by concatenation."""
        width, init = self.config.width, nn.initializers.xavier_normal()
        message = Linear(x.shape[1], bias=False, kernel_init=init, name=f"{name}_neighbours")
        h = nn.leaky_relu(spmm(graph, message(x)))
        own = nn.leaky_relu(Linear(width, kernel_init=init, name=f"{name}_own")(x)) + ids
        combine = Linear(width, kernel_init=combine_init, name=f"{name}_combine")
        return nn.leaky_relu(combine(jnp.concatenate([h, own], axis=1)))

    def _table(self, name: str, rows: int, width: int) -> Array:
        init = nn.initializers.xavier_normal()
        if self.config.trainable_ids:
            return self.param(name, init, (rows, width))
        frozen = self.variable("frozen", name, lambda: init(self.make_rng("params"), (rows, width)))
        return jnp.asarray(frozen.value)


def _init(model: MMGCN, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs))


def _loss(
    model: MMGCN,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    nodes: Any = model.apply({"params": params, **state}, *inputs)
    user, where = batch["user"], batch["where"]
    items = model.n_users + jnp.concatenate([batch["item"][:, None], batch["negatives"]], 1)
    scores = jnp.einsum("bd,bkd->bk", nodes.final[user], nodes.final[items])
    rank = global_mean(info_bpr(scores[:, 0], scores[:, 1:]), axis, where=where)
    squares = jnp.square(nodes.ids[user]).mean(1) + jnp.square(nodes.ids[items]).mean((1, 2))
    norms = global_mean(squares, axis, where=where)
    penalised = model.config.penalised or tuple(inputs.features)
    tables = zip(inputs.features, nodes.preferences, strict=True)
    norms = norms + sum(jnp.square(p).mean() for name, p in tables if name in penalised)
    return rank + model.config.l2 * norms, Aux(state, {"rank": rank, "norms": norms})


def _vectors(
    model: MMGCN, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    nodes: Any = model.apply({"params": params, **state}, *inputs)
    return nodes.final[: model.n_users], nodes.final[model.n_users :]


def build(config: MMGCNConfig, task: Task) -> Model:
    """MMGCN on the graph and the features of a task; BPR with k negatives is InfoBPR.

    Raises:
        ValueError: the task has no features, or lacks a modality that is named.
    """
    model = MMGCN(config, *task.sizes)
    features = task.content(config.modalities, normalise=config.normalise)
    inputs = _Inputs(features, task.adjacency(kind="left"))
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
