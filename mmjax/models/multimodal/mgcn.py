"""MGCN: multi-view graph convolution with ids purified by content and a behaviour-aware fuser.

P. Yu, Z. Tan, G. Lu, B.-K. Bao, ACM MM 2023, arXiv 2308.03588; as MMRec trains it.

Axes: u users, i items, n = u + i nodes (users first), d width, m modalities.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.sparse import operator
from mmjax.layers.item_content import Content
from mmjax.layers.linear import Linear
from mmjax.models.collaborative.light_gcn import Embeddings
from mmjax.models.common.purified_views import (
    BehaviourAndSide,
    GuidedGate,
    PurifiedViews,
    ViewInputs,
    build_model,
)
from mmjax.models.common.task import Task
from mmjax.retriever import Model


@dataclass(frozen=True)
class MGCNConfig:
    """Hyper-parameters of MGCN, with MMRec's defaults."""

    modalities: tuple[str, ...] = ()
    """Content modalities that are read; none named means all."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""
    trainable_features: bool = True
    """Train the feature tables too, as the authors do; the item graphs keep the given ones."""
    width: int = 64
    """Dimension d of user and item vectors."""
    hops: int = 2
    """Propagation steps of the ids over the user-item graph."""
    item_hops: int = 1
    """Propagation steps over each item graph."""
    k: int = 10
    """Nearest items that each item reads in a modality, itself included."""
    contrast: float = 0.01
    """Weight of the InfoNCE between the side view and the id view; 0 removes it."""
    temperature: float = 0.2
    """Temperature of that InfoNCE."""
    l2: float = 1e-4
    """Weight of half the squared norms of the batch's final vectors, a mean over its rows. MMRec
    divides by the batch size that is set, so a shorter last batch counts less there."""


class CommonAndSpecific(nn.Module):
    """Behaviour-aware fuser: what the views have in common, and what is left, gated by behaviour.

    ``a = softmax over views of w' tanh(W F_m + b)``, ``common = sum of a_m F_m``,
    ``side = (common + sum of (F_m - common) * sigmoid(C W_m + b_m)) / (m + 1)``.

    MMRec's divisor is 3, for the two modalities without which its class does not run.
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
        specific = [GuidedGate(name=f"prefer_{n}")(x - common, behaviour) for n, x in views.items()]
        return sum(specific, common) / (len(specific) + 1)


class MGCN(nn.Module):
    """Vectors of all nodes: the id view plus the fused side views."""

    config: MGCNConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, inputs: ViewInputs, *, train: bool = False) -> BehaviourAndSide:
        """One forward pass; it draws nothing, in training neither."""
        c = self.config
        initial = Embeddings(self.n_users, self.n_items, c.width, name="ids")()
        content = Content(c.width, c.trainable_features, name="content")(inputs.features)
        views = PurifiedViews(c.item_hops, name="views")(
            initial, content, inputs.graphs, inputs.to_users
        )
        behaviour = lightgcn(inputs.adjacency, initial, layers=c.hops)
        return BehaviourAndSide(behaviour, CommonAndSpecific(name="fuser")(views, behaviour))


def build(config: MGCNConfig, task: Task) -> Model:
    """MGCN on the graphs and the features of a task; item graphs weigh by cosine.

    Raises:
        ValueError: a modality is missing.
    """
    features = task.content(config.modalities, normalise=config.normalise)
    graphs = {n: operator(task.item_graph(n, k=config.k, kind="cos")) for n in features}
    inputs = ViewInputs(features, graphs, task.adjacency(), task.one_way("users"))
    return build_model(MGCN(config, *task.sizes), inputs, task.n_items)
