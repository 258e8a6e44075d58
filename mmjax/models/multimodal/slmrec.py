"""SLMRec: one graph branch per modality, and self-supervision between ids and content.

Z. Tao, X. Liu, Y. Xia, X. Wang, L. Yang, X. Huang, T.-S. Chua, IEEE TMM 2022; as MMRec trains it.

Axes: u users, i items, n = u + i nodes (users first), d width, b rows.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import Operator
from mmjax.blocks.losses.contrast import in_batch
from mmjax.layers.item_content import Content
from mmjax.layers.linear import Linear
from mmjax.models.collaborative.light_gcn import Embeddings
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

_Features = Mapping[str, Float[Array, "i _"]]
_INIT = nn.initializers.xavier_uniform()


@dataclass(frozen=True)
class SLMRecConfig:
    """Hyper-parameters of SLMRec; MMRec gives grids for the two of the self-supervision."""

    modalities: tuple[str, ...] = ()
    """Content modalities, in the order of the self-supervision; none named means all by the
    alphabet, which for image and text is MMRec's order."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""
    width: int = 64
    """Dimension d of user and item vectors, and of every branch."""
    hops: int = 3
    """Propagation steps of each branch."""
    temperature: float = 0.2
    """Temperature of the main loss, an InfoNCE of users against the batch's items."""
    ssl: float = 0.1
    """Weight of the self-supervision; 0 removes it."""
    ssl_temperature: float = 0.5
    """Temperature of the self-supervision."""


class FineAndCoarse(nn.Module):
    """Pairs of vectors that the self-supervision FAC compares, one for each modality.

    A chain of affine maps leads from the id vectors through a space for each modality in turn,
    ``g_1 id, g_3 g_1 id, ..``, the last of half the width; each modality maps into its own space.
    The chain has three maps at least, the paper's three modalities: of two modalities the second
    meets ``g_5 g_3 g_1 id``. A single one meets ``g_1 id``. The paper's order: image, audio, text.
    """

    @nn.compact
    def __call__(
        self, ids: Float[Array, "b d"], content: Sequence[Float[Array, "b d"]]
    ) -> list[tuple[Float[Array, "b _"], Float[Array, "b _"]]]:
        """Id vectors and content vectors in the space of each modality."""
        count, width, pairs = len(content), ids.shape[1], []
        for n, x in enumerate(content):
            last = 0 < n == count - 1
            out = width // 2 if last else width
            if last and count == 2:
                ids = Linear(width, kernel_init=_INIT, name="chain_between")(ids)
            ids = Linear(out, kernel_init=_INIT, name=f"chain_{n}")(ids)
            pairs.append((ids, Linear(out, kernel_init=_INIT, name=f"content_{n}")(x)))
        return pairs


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: dict[str, Array]
    graph: Operator


class SLMRec(nn.Module):
    """Branches of ids and of each modality that share the users, concatenated and mapped."""

    config: SLMRecConfig
    n_users: int
    n_items: int
    modalities: tuple[str, ...]

    def setup(self) -> None:
        """Parameters, named as the equations group them."""
        c = self.config
        self.ids = Embeddings(self.n_users, self.n_items, c.width)
        self.content = Content(c.width, trainable=False, kernel_init=_INIT)
        self.read_users = Linear(c.width, kernel_init=_INIT)
        self.read_items = Linear(c.width, kernel_init=_INIT)
        self.fac = FineAndCoarse()

    def __call__(
        self, features: _Features, graph: Operator
    ) -> tuple[Float[Array, "u d"], Float[Array, "i d"], list[Float[Array, "i d"]]]:
        """Users, items, and the propagated items of each branch, ids first."""
        users, ids = jnp.split(self.ids(), [self.n_users])
        # By name: a dict that went through jit is sorted.
        content = self.content(features)
        items = [ids, *(content[name] for name in self.modalities)]
        # Side by side, so that all branches take one product a hop.
        x = jnp.concatenate([jnp.tile(users, len(items)), jnp.concatenate(items, axis=1)])
        x = lightgcn(graph, x, layers=self.config.hops)
        users, items = jnp.split(x, [self.n_users])
        branches = jnp.split(items, items.shape[1] // self.config.width, axis=1)
        return self.read_users(users), self.read_items(items), branches

    def terms(
        self, features: _Features, graph: Operator, rows: Mapping[str, Array], axis: Any = None
    ) -> dict[str, Float[Array, ""]]:
        """The weighted terms of the loss; no negatives are read."""
        c, item = self.config, rows["item"]
        users, items, branches = self(features, graph)
        contrast = functools.partial(in_batch, where=rows["where"], axis=axis)
        rank = contrast(users[rows["user"]], items[item], temperature=c.temperature)
        ssl = jnp.zeros(())
        for a, b in self.fac(branches[0][item], [x[item] for x in branches[1:]]):
            ssl += contrast(a, b, temperature=c.ssl_temperature, cosine=False)
        return {"rank": rank, "ssl": c.ssl * ssl}


def _init(model: SLMRec, inputs: _Inputs, key: Array) -> Variables:
    rows = {"user": jnp.zeros(1, int), "item": jnp.zeros(1, int), "where": jnp.ones(1, bool)}
    return dict(model.init(key, *inputs, rows, method="terms"))


def _loss(
    model: SLMRec,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    terms: Any = model.apply({"params": params}, *inputs, batch, axis, method="terms")
    return terms["rank"] + terms["ssl"], Aux(state, terms)


def _vectors(
    model: SLMRec, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    vectors: Any = model.apply({"params": params}, *inputs)
    return vectors[:2]


def build(config: SLMRecConfig, task: Task) -> Model:
    """SLMRec on the graph and the features of a task.

    Raises:
        ValueError: the task has no features, or lacks a modality that is named.
    """
    names = config.modalities or tuple(sorted(task.features))
    model = SLMRec(config, *task.sizes, names)
    inputs = _Inputs(task.content(names, normalise=config.normalise), task.adjacency())
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
