"""LATTICE: latent item structures mined from content, learnt along with the model.

J. Zhang et al., ACM MM 2021, arXiv 2104.09036.

The learnt item graph is kept as neighbours and weights, never as a matrix of all pairs: with M
modalities of k neighbours it holds 2 M k numbers an item, and the search compares blocks of rows.

Axes: u users, i items, n = u + i nodes, s = 2 M k neighbours, d = width, b rows, k negatives.
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
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.gathered import Pattern, gather_sum, pattern
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.neighbours import Neighbours, from_graph, mix, nearest, normalise
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.pairwise import info_bpr, sq_loss
from mmjax.layers.item_content import Content
from mmjax.models.collaborative.light_gcn import Embeddings
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

ItemGraph = tuple[Pattern, Array]
"""Items that each item reads, and the weights ``[i, s]``."""


@dataclass(frozen=True)
class LATTICEConfig:
    """LATTICE with MMRec's defaults."""

    modalities: tuple[str, ...] = ()
    """Content modalities; none named means all that the data have."""
    normalise: bool = True
    """Scale every item's features of a modality to length one (MMRec reads them as published)."""
    width: int = 64
    """Dimension of user and item vectors."""
    content_width: int = 64
    """Dimension of the projected features, whose cosines are the learnt graph."""
    hops: int = 2
    """Propagation steps on the user-item graph; the output is the mean of steps 0 to L."""
    item_hops: int = 1
    """Propagation steps on the item graph."""
    k: int = 10
    """Neighbours of an item in each modality's graph, itself included."""
    skip: float = 0.9
    """Share lambda of the graph of the raw features, against the learnt one."""
    l2: float = 1e-4
    """Weight of half the squared norms of a pair's final vectors."""
    trainable_features: bool = True
    """Train the feature tables too, as the authors do."""


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: dict[str, Array]
    raw: dict[str, Neighbours]
    """Neighbours of each item in the raw features, by modality."""
    graph: Operator


class LATTICE(nn.Module):
    """The item graph, and the vectors of all nodes, users first."""

    config: LATTICEConfig
    n_users: int
    n_items: int
    modalities: tuple[str, ...]

    def setup(self) -> None:
        c = self.config
        self.ids = Embeddings(self.n_users, self.n_items, c.width)
        self.content = Content(c.content_width, c.trainable_features)
        self.mix = self.param("mix", nn.initializers.constant(0.5), (len(self.modalities),))

    def graph(
        self, features: Mapping[str, Float[Array, "i _"]], raw: Mapping[str, Neighbours]
    ) -> ItemGraph:
        """``(1 - lambda) norm(sum_m w_m kNN(W_m x_m)) + lambda sum_m w_m S_m``, w = softmax."""
        share, skip, z = jax.nn.softmax(self.mix), self.config.skip, self.content(features)
        kept = [raw[name] for name in self.modalities]
        learnt = [nearest(z[name], k=raw[name].index.shape[1]) for name in self.modalities]
        mixed = normalise(mix(learnt, share))
        index, weights = mix([mixed, *kept], [1 - skip, *(skip * share)])
        return pattern(index, self.n_items), weights

    def __call__(
        self, features: Any, raw: Any, graph: Operator, item_graph: ItemGraph | None = None
    ) -> tuple[Float[Array, "n d"], ItemGraph]:
        """Propagate on both graphs; None builds the item graph of the parameters as they are."""
        initial = self.ids()
        reads, weights = item_graph = item_graph or self.graph(features, raw)
        h = initial[self.n_users :]
        for _ in range(self.config.item_hops):
            h = gather_sum(weights, h, reads)
        x = lightgcn(graph, initial, layers=self.config.hops)
        # An item adds its unit vector from the item graph.
        items = x[self.n_users :] + l2_normalise(h)
        return jnp.concatenate([x[: self.n_users], items]), item_graph


def _init(model: LATTICE, inputs: _Inputs, key: Array) -> Variables:
    (_, kept), variables = model.init_with_output(key, *inputs)
    return {**variables, "item_graph": {"epoch": jnp.zeros((), jnp.uint32), "kept": kept}}


def _loss(
    model: LATTICE,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    kept, variables = state["item_graph"], {"params": params}

    def rebuilt() -> Any:
        return model.apply(variables, *inputs[:2], method="graph")

    first = batch["epoch"] != kept["epoch"]
    item_graph = lax.cond(first, rebuilt, lambda: kept["kept"])
    x: Any = model.apply(variables, *inputs, item_graph)[0]
    u, i = x[batch["user"]], x[model.n_users + batch["item"]]
    j, where = x[model.n_users + batch["negatives"]], batch["where"]
    rank = info_bpr((u * i).sum(-1), jnp.einsum("bd,bkd->bk", u, j))
    terms = {
        "rank": global_mean(rank, axis, where=where),
        "norms": model.config.l2 * global_mean(sq_loss(u, i, j), axis, where=where),
    }
    state = {**state, "item_graph": {"epoch": batch["epoch"], "kept": item_graph}}
    return terms["rank"] + terms["norms"], Aux(lax.stop_gradient(state), terms)


def _vectors(
    model: LATTICE, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params}, *inputs)[0]
    return x[: model.n_users], x[model.n_users :]


def _epoch(model: LATTICE, inputs: _Inputs, key: Array) -> dict[str, Array]:
    # Batches of one epoch share this number; the state holds that of the graph it keeps.
    return {"epoch": jax.random.bits(key, (), jnp.uint32)}


def build(config: LATTICEConfig, task: Task) -> Model:
    """LATTICE on the graph and the features of a task.

    The item graph is rebuilt, with its gradient, in the first batch of each epoch and at
    evaluation; other batches read the one that the state keeps, and give the content a gradient
    of zero. Momentum still moves it then, as with the authors' PyTorch 1 (from version 2 on its
    optimisers skip what has no gradient). Batches carry `epoch`, a number of their epoch that
    `Objective.epoch` draws.

    Raises:
        ValueError: a modality is missing.
    """
    features = task.content(config.modalities, normalise=config.normalise)
    graphs = {n: task.item_graph(n, k=config.k, kind="cos") for n in features}
    raw = {name: from_graph(graph) for name, graph in graphs.items()}
    inputs = _Inputs(features, raw, task.adjacency(kind="left", self_loops=True))
    model = LATTICE(config, *task.sizes, tuple(features))
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss, epoch=_epoch),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
