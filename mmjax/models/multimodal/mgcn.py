"""MGCN: multi-view graph convolution with ids purified by content and a behaviour-aware fuser.

P. Yu, Z. Tan, G. Lu, B.-K. Bao, ACM MM 2023, arXiv 2308.03588; as MMRec trains it.

Axes: u users, i items, n = u + i nodes (users first), d width, m modalities.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float

from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import Operator, operator
from mmjax.layers.item_content import Content
from mmjax.layers.linear import Linear
from mmjax.models.collaborative.light_gcn import Embeddings
from mmjax.models.common.purified_views import BehaviourAndSide, Gate, PurifiedViews, loss_terms
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective


@dataclass(frozen=True)
class MGCNConfig:
    """Hyper-parameters of MGCN, with MMRec's defaults."""

    modalities: tuple[str, ...] = ()
    """Content modalities that are read; none named means all."""
    unit: bool = True
    """Scale the rows of the raw features to length one."""
    trainable_features: bool = True
    """Train the feature tables too, as the authors do; the item graphs keep the given ones."""
    width: int = 64
    """Dimension d of user and item vectors."""
    layers: int = 2
    """Propagation layers of the ids over the user-item graph."""
    item_layers: int = 1
    """Propagation layers over each item graph."""
    neighbours: int = 10
    """Nearest items that each item reads in a modality, itself included."""
    contrast: float = 0.01
    """Weight of the InfoNCE between the side view and the id view; 0 removes it."""
    temperature: float = 0.2
    """Temperature of that InfoNCE."""
    reg: float = 1e-4
    """Weight of half the squared norms of the batch's final vectors."""


class CommonAndSpecific(nn.Module):
    """Behaviour-aware fuser: what the views have in common, and what is left, gated by behaviour.

    ``a = softmax over views of w' tanh(W F_m + b)``, ``common = sum of a_m F_m``,
    ``side = (common + sum of (F_m - common) * sigmoid(C W_m + b_m)) / (m + 1)``.
    """

    @nn.compact
    def __call__(
        self, views: Mapping[str, Float[Array, "n d"]], behaviour: Float[Array, "n d"]
    ) -> Float[Array, "n d"]:
        """Side vectors of all nodes."""
        query = Linear(behaviour.shape[1], name="query")
        weigh = Linear(1, bias=False, name="weigh")
        stacked = jnp.stack([*views.values()], axis=1)
        attention = nn.softmax(weigh(jnp.tanh(query(stacked))), axis=1)
        common = (attention * stacked).sum(1)
        specific = [Gate(name=f"prefer_{n}")(x - common, behaviour) for n, x in views.items()]
        return sum(specific, common) / (len(specific) + 1)


class Inputs(NamedTuple):
    """What is known before training; a pytree of arrays."""

    features: dict[str, Array]
    """Raw item features by modality."""
    graphs: dict[str, Operator]
    """Item graphs by view."""
    adjacency: Operator
    """The user-item graph, symmetric normalised."""
    to_users: Operator
    """Its half in which users read items."""


class MGCN(nn.Module):
    """Vectors of all nodes: the id view plus the fused side views."""

    config: MGCNConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, inputs: Inputs, *, train: bool = False) -> BehaviourAndSide:
        """One forward pass; it draws nothing, in training neither."""
        c = self.config
        initial = Embeddings(self.n_users, self.n_items, c.width, name="ids")()
        content = Content(c.width, c.trainable_features, name="content")(inputs.features)
        views = PurifiedViews(c.item_layers, name="views")(
            initial, content, inputs.graphs, inputs.to_users
        )
        behaviour = lightgcn(inputs.adjacency, initial, layers=c.layers)
        return BehaviourAndSide(behaviour, CommonAndSpecific(name="fuser")(views, behaviour))


def _loss(
    model: Any,
    inputs: Inputs,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    nodes = model.apply({"params": params}, inputs, train=True, rngs={"dropout": key})
    c = model.config
    weights = {name: getattr(c, name) for name in ("reg", "contrast", "temperature")}
    terms = loss_terms(nodes, model.n_users, batch, axis, **weights)
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms)


def _predict(model: Any, inputs: Inputs, params: Any, state: Any, key: Array) -> Any:
    return tuple(jnp.split(model.apply({"params": params}, inputs).final, [model.n_users]))


def objective(model: nn.Module, inputs: Inputs) -> Objective:
    """A model of behaviour and side views as an `Objective`; SMORE is one too.

    Args:
        model: ``model(inputs, train=) -> BehaviourAndSide``, with `n_users` and a `config` that
            has `reg`, `contrast` and `temperature`.
        inputs: bound to it.
    """
    return Objective(
        Partial(lambda inputs, key: dict(model.init(key, inputs)), inputs),
        Partial(functools.partial(_loss, model), inputs),
        Partial(functools.partial(_predict, model), inputs),
    )


def build(config: MGCNConfig, task: Task) -> Objective:
    """MGCN on the graphs and the features of a task; item graphs weigh by cosine."""
    features = task.content(config.modalities, unit=config.unit)
    graphs = {n: operator(task.item_graph(n, k=config.neighbours, kind="cos")) for n in features}
    halves = (task.adjacency(), task.one_way("users"))
    return objective(MGCN(config, *task.sizes), Inputs(features, graphs, *halves))
