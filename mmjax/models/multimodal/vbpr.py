"""VBPR: visual Bayesian personalised ranking, with any modalities, as MMRec trains it.

R. He, J. McAuley, AAAI 2016, arXiv 1510.01784.

Axes: u users, i items, n = u + i nodes, d = id width + content width, b rows, k negatives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.models.collaborative.light_gcn import bpr_with_norms
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class VBPRConfig:
    """VBPR as MMRec trains it; the features stay as they are."""

    modalities: tuple[str, ...] = ()
    """Content modalities, which are read side by side; none named means all that the data have."""
    normalise: bool = True
    """Scale every item's features of a modality to length one (MMRec reads them as published)."""
    width: int = 64
    """Dimension of an item's id vector."""
    content_width: int = 64
    """Dimension that the content is projected to; a user has the sum of both widths."""
    l2: float = 1e-2
    """Weight of the norms of the batch's user and composed item rows."""


class VBPR(nn.Module):
    """Vectors of all nodes, users first: an item is its id vector beside its projected content."""

    config: VBPRConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, features: Mapping[str, Float[Array, "i _"]]) -> Float[Array, "n d"]:
        """``gamma_u`` and ``[gamma_i ; W x_i + b]``."""
        c = self.config
        init = nn.initializers.xavier_uniform()
        users = self.param("user_embedding", init, (self.n_users, c.width + c.content_width))
        ids = self.param("item_embedding", init, (self.n_items, c.width))
        content = nn.Dense(
            c.content_width, kernel_init=nn.initializers.xavier_normal(), name="project"
        )(jnp.concatenate([features[name] for name in sorted(features)], axis=1))
        return jnp.concatenate([users, jnp.concatenate([ids, content], axis=1)])


def _init(model: VBPR, features: Mapping[str, Array], key: Array) -> Variables:
    return dict(model.init(key, features))


def _loss(
    model: VBPR,
    features: Mapping[str, Array],
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    x: Any = model.apply({"params": params}, features)
    rank, norms = bpr_with_norms(x, x, model.n_users, batch, axis)
    return rank + model.config.l2 * norms, Aux(state, {"rank": rank, "norms": norms})


def _vectors(
    model: VBPR, features: Mapping[str, Array], params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    x: Any = model.apply({"params": params}, features)
    return x[: model.n_users], x[model.n_users :]


def build(config: VBPRConfig, task: Task) -> Model:
    """VBPR on the features of a task, retrieving by inner products.

    Raises:
        ValueError: the task lacks a modality that the configuration names, or has none at all.
    """
    features = task.content(config.modalities, normalise=config.normalise)
    model = VBPR(config, *task.sizes)
    return Model(
        Objective.bind(model, features, init=_init, loss=_loss),
        by_vectors(_vectors, model, features, task.n_items),
    )
