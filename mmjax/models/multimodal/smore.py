"""SMORE: MGCN's views of modalities denoised and fused by filters on their spectra.

R. K. Ong, A. W. H. Khong, WSDM 2025, arXiv 2412.14978; as MMRec trains it.

Axes: u users, i items, n = u + i nodes (users first), d width, f = d // 2 + 1 frequencies.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.knn import max_pool
from mmjax.blocks.graphs.sparse import operator
from mmjax.blocks.graphs.spectral import spectral_filter
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

FUSED = "fused"
"""Name of the view of all modalities together."""


@dataclass(frozen=True)
class SMOREConfig:
    """Hyper-parameters of SMORE, with the authors' choice for Baby (but for k)."""

    modalities: tuple[str, ...] = ()
    """Content modalities that are read; none named means all."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""
    trainable_features: bool = True
    """Train the feature tables too, as the authors do; the item graphs keep the given ones."""
    width: int = 64
    """Dimension d of user and item vectors."""
    hops: int = 4
    """Propagation steps of the ids over the user-item graph."""
    item_hops: int = 1
    """Propagation steps over each item graph."""
    k: tuple[int, ...] = (10,)
    """Nearest items that each item reads in a modality, itself included: one number for each
    modality, in their order, or one for all."""
    dropout: float = 0.1
    """Dropout of the preference gates."""
    contrast: float = 0.01
    """Weight of the InfoNCE between the side view and the id view; 0 removes it."""
    temperature: float = 0.2
    """Temperature of that InfoNCE."""
    l2: float = 1e-4
    """Weight of half the squared norms of the batch's final vectors."""


class Spectra(nn.Module):
    """Each modality filtered on its spectrum, and all of them multiplied there: the fused view.

    The filters are complex, kept as real parameters ``[f, 2]``, and start standard normal.
    """

    @nn.compact
    def __call__(
        self, content: Mapping[str, Float[Array, "i d"]]
    ) -> dict[str, Float[Array, "i d"]]:
        """Filtered modalities by name, and the fused one as `FUSED`."""

        def filtered(name: str, *rows: Array) -> Array:
            shape = (rows[0].shape[1] // 2 + 1, 2)
            weight = self.param(f"filter_{name}", nn.initializers.normal(1.0), shape)
            return spectral_filter(rows, weight)

        views = {name: filtered(name, x) for name, x in content.items()}
        return {**views, FUSED: filtered(FUSED, *content.values())}


class PreferenceFusion(nn.Module):
    """Side vectors: the mean over views gated by behaviour, modalities first by the fused view.

    ``side = mean of (F_m * softmax(W' tanh(W F_f + b))) * sigmoid(C W_m + b_m)`` over modalities
    and ``F_f * sigmoid(C W_f + b_f)``; the softmax runs over the d entries of a vector.
    `rate` is the dropout rate of the preference gates.
    """

    rate: float

    @nn.compact
    def __call__(
        self,
        views: Mapping[str, Float[Array, "n d"]],
        behaviour: Float[Array, "n d"],
        *,
        train: bool = False,
    ) -> Float[Array, "n d"]:
        """Fuse `views`, of which one is `FUSED`."""
        width, gated = behaviour.shape[1], []
        for name, x in views.items():
            if name != FUSED:
                query = Linear(width, name=f"query_{name}")
                weigh = Linear(width, bias=False, name=f"weigh_{name}")
                x = x * nn.softmax(weigh(jnp.tanh(query(views[FUSED]))))
            gated.append(GuidedGate(self.rate, name=f"prefer_{name}")(x, behaviour, train=train))
        return sum(gated[1:], gated[0]) / len(gated)


class SMORE(nn.Module):
    """Vectors of all nodes: the id view plus the side views."""

    config: SMOREConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, inputs: ViewInputs, *, train: bool = False) -> BehaviourAndSide:
        """One forward pass; `train` drops from the preference gates (stream "dropout")."""
        c = self.config
        initial = Embeddings(self.n_users, self.n_items, c.width, name="ids")()
        content = Content(c.width, c.trainable_features, name="content")(inputs.features)
        views = PurifiedViews(c.item_hops, name="views")(
            initial, Spectra(name="spectra")(content), inputs.graphs, inputs.to_users
        )
        behaviour = lightgcn(inputs.adjacency, initial, layers=c.hops)
        side = PreferenceFusion(c.dropout, name="preferences")(views, behaviour, train=train)
        return BehaviourAndSide(behaviour, side)


def build(config: SMOREConfig, task: Task) -> Model:
    """SMORE on the graphs and the features of a task; item graphs weigh by cosine.

    Raises:
        ValueError: as `Task.content`, or `k` is neither one number nor one for each
            modality, or a modality is called "fused".
    """
    features, ks = task.content(config.modalities, normalise=config.normalise), config.k
    if len(ks) not in (1, len(features)):
        raise ValueError(f"k = {ks} must give one number, or one each for {[*features]}")
    if FUSED in features:
        raise ValueError(f"{FUSED!r} names the view of all modalities; rename that modality")
    ks = ks * len(features) if len(ks) == 1 else ks
    single = {n: task.item_graph(n, k=k, kind="cos") for n, k in zip(features, ks, strict=True)}
    graphs = {**single, FUSED: max_pool([*single.values()])}
    operators = {name: operator(graph) for name, graph in graphs.items()}
    inputs = ViewInputs(features, operators, task.adjacency(), task.one_way("users"))
    return build_model(SMORE(config, *task.sizes), inputs, task.n_items)
