"""InvRL: invariant representation learning for multimedia recommendation, on UltraGCN.

X. Du, Z. Wu, F. Feng, X. He, J. Tang, ACM MM 2022. This file holds the recommender, which is
trained first with all content and at last with the learned mask; `stages` holds the objectives
in between.

Axes: u users, i items, d = width, h = 2 d, c content features of all modalities, b rows,
k negatives, n = 1 + k candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_sum
from mmjax.blocks.graphs.gathered import gather_dot, pattern
from mmjax.blocks.losses.pointwise import degree_factors, weighted_bce
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class InvRLConfig:
    """InvRL with the authors' settings (TikTok); batches of 512 pairs, 50 negatives each."""

    modalities: tuple[str, ...] = ()
    """Modalities, side by side as one content vector; none named means all there are."""
    width: int = 64
    """Dimension of an item's id vector and of its content vector; users have twice as much."""
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """A positive weighs w1 + w2 f, a negative w3 + w4 f, with f of `pointwise.degree_factors`."""
    l2: float = 1e-4
    """Weight of the users' squared norms."""
    item_l2: float = 1.0
    """Items' squared norms weigh this many times `l2`, before the mask is known."""
    kernel_l2: float = 1e-2
    """Weight of the squared norms of the content kernel and its bias, before the mask is known."""
    final_item_l2: float = 2.0
    """`item_l2` of the final training."""
    final_kernel_l2: float = 0.1
    """`kernel_l2` of the final training."""
    environments: int = 10
    """Groups of interactions."""
    rounds: int = 10
    """Most rounds of fitting the groups and moving interactions between them."""
    moved: float = 0.01
    """Rounds end when this share of the interactions moves, or less."""
    environment_epochs: int = 20
    """Epochs of fitting the groups in a round."""
    absolute: float = 1e-2
    """Weight of the mean of |kernel * mask|, which turns groups away from invariant features."""
    repetitions: int = 5
    """Repetitions of finding environments and learning the mask."""
    mask_epochs: int = 40
    """Epochs of learning the mask in a repetition."""
    sigma: float = 0.01
    """Standard deviation of the noise on the gates."""
    alpha: float = 1.0
    """Weight of the penalty on the gradients' spread over environments, first repetition."""
    lam: float = 0.1
    """Weight of the gates' squared offsets, first repetition."""
    growth: float = 1.05
    """Factor on `alpha` and `lam` after each repetition."""
    normalise: bool = True
    """Scale the rows of each modality's features to length one."""


def final_config(config: InvRLConfig) -> InvRLConfig:
    """The configuration of the final training, with the mask."""
    return replace(config, item_l2=config.final_item_l2, kernel_l2=config.final_kernel_l2)


class DegreeFactors(NamedTuple):
    """`pointwise.degree_factors` on the device."""

    users: Float[Array, "u"]
    items: Float[Array, "i"]


class InvRL(nn.Module):
    """Users ``[u, h]`` and items ``[id; content]`` of masked content."""

    config: InvRLConfig
    n_users: int
    n_items: int

    @nn.compact
    def __call__(self, content: Float[Array, "i c"]) -> tuple[Array, Array]:
        """User and item vectors, each of width h; scores are inner products."""
        d, init = self.config.width, nn.initializers.normal(0.01)
        users = self.param("user_embedding", init, (self.n_users, 2 * d))
        items = self.param("item_embedding", init, (self.n_items, d))
        kernel = self.param("kernel", init, (content.shape[1], d))
        bias = self.param("bias", nn.initializers.zeros, (d,))
        return users, jnp.concatenate([items, content @ kernel + bias[None]], axis=1)


def candidates(batch: Mapping[str, Array]) -> Array:
    """int32[b, n] items of a batch, the positive first."""
    return jnp.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)


def row_losses(
    config: InvRLConfig,
    factors: DegreeFactors,
    batch: Mapping[str, Array],
    scores: Float[Array, "b n"],
) -> Float[Array, "b"]:
    """UltraGCN's weighted cross-entropy of every row, from the scores of its candidates."""
    w1, w2, w3, w4 = config.weights
    f = factors.users[batch["user"]][:, None] * factors.items[candidates(batch)]
    weights = jnp.concatenate([w1 + w2 * f[:, :1], w3 + w4 * f[:, 1:]], axis=1)
    return weighted_bce(scores, weights)


def all_content(config: InvRLConfig, task: Task) -> Float[Array, "i c"]:
    """The content of all modalities side by side.

    Raises:
        ValueError: the task has no features, or lacks a modality that is named.
    """
    parts = task.content(config.modalities, normalise=config.normalise).values()
    return jnp.concatenate([jnp.asarray(x) for x in parts], axis=1)


def task_factors(task: Task) -> DegreeFactors:
    """The degree factors of a task's pairs."""
    users, items = degree_factors(np.asarray(task.train), *task.sizes)
    return DegreeFactors(jnp.asarray(users), jnp.asarray(items))


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    content: Float[Array, "i c"]
    factors: DegreeFactors


def _init(model: InvRL, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, inputs.content))


def _loss(
    model: InvRL,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    c = model.config
    users, items = model.apply({"params": params}, inputs.content)
    reads = pattern(candidates(batch), model.n_items)
    losses = row_losses(c, inputs.factors, batch, gather_dot(users[batch["user"]], items, reads))
    squares = {n: jnp.square(params[n]).sum() for n in params}
    ids = c.l2 * (squares["user_embedding"] + c.item_l2 * squares["item_embedding"])
    terms = {
        "rank": global_sum(losses, axis, where=batch["where"]),
        "l2": ids + c.kernel_l2 * (squares["kernel"] + squares["bias"]),
    }
    return terms["rank"] + terms["l2"], Aux(state, terms)


def _vectors(
    model: InvRL, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    vectors: Any = model.apply({"params": params}, inputs.content)
    return vectors


def build(config: InvRLConfig, task: Task, mask: Float[Array, "c"] | None = None) -> Model:
    """InvRL's recommender; the loss sums over the rows, as the authors do.

    Args:
        config: hyper-parameters; for the final training those of `final_config`.
        task: what to learn from.
        mask: weight of each content feature, in [0, 1]; None keeps all of them.

    Raises:
        ValueError: the task has no features or lacks a modality that is named, or the mask is
            not as long as a content vector.
    """
    content = all_content(config, task)
    if mask is not None:
        if len(mask) != content.shape[1]:
            raise ValueError(f"the mask has {len(mask)} entries, content {content.shape[1]}")
        content = content * jnp.asarray(mask, content.dtype)[None]
    model = InvRL(config, *task.sizes)
    inputs = _Inputs(content, task_factors(task))
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
