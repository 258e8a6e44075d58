"""InvRL between its first and its last training: finding environments and learning the mask.

X. Du, Z. Wu, F. Feng, X. He, J. Tang, ACM MM 2022. Users and item ids stay as they were
pretrained; only kernels on the content are trained, and the gates.

Axes: g environments, u users, i items, d = width, c content features, p pairs, b rows,
n candidates of a row.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.blocks.common.collectives import global_sum
from mmjax.blocks.graphs.gathered import gather_dot, pattern
from mmjax.blocks.losses.invariance import gates, noisy_gates, spread
from mmjax.models.common.task import Task
from mmjax.models.multimodal.invrl.objective import (
    DegreeFactors,
    InvRLConfig,
    all_content,
    candidates,
    row_losses,
    task_factors,
)
from mmjax.objective import Aux, Objective, Params, State, Variables


class Pretrained(NamedTuple):
    """Arrays that the stages read and do not train."""

    users: Float[Array, "u d"]
    """Part of the users that meets item ids."""
    tastes: Float[Array, "u d"]
    """Part of the users that meets content."""
    items: Float[Array, "i d"]
    content: Float[Array, "i c"]
    factors: DegreeFactors


def pretrained(config: InvRLConfig, task: Task, params: Mapping[str, Array]) -> Pretrained:
    """Parameters of the first training and content of the task, as the stages read them."""
    users = params["user_embedding"]
    ids, tastes = users[:, : config.width], users[:, config.width :]
    items = params["item_embedding"]
    return Pretrained(ids, tastes, items, all_content(config, task), task_factors(task))


def environment_losses(
    config: InvRLConfig,
    fixed: Pretrained,
    projected: Float[Array, "g i d"],
    batch: Mapping[str, Array],
    axis: str | None = None,
) -> Float[Array, "g"]:
    """Summed loss of each environment's rows under its own projection of the content.

    Args:
        config: weights of positives and negatives.
        fixed: from `pretrained`.
        projected: each environment's content vectors.
        batch: rows as in `Objective.loss`, and int32 `environment` ``[b]``.
        axis: mapped axis over which the batch is split, if any.
    """
    groups, n_items, width = projected.shape
    user, items, own = batch["user"], candidates(batch), batch["environment"]
    # One table of all environments: a row reads the part of its own, so that the gradient of the
    # sum by each environment's projection is that of its own loss alone.
    table = projected.reshape(-1, width)
    reads = pattern(own[:, None] * n_items + items, groups * n_items)
    scores = gather_dot(fixed.tastes[user], table, reads)
    scores += gather_dot(fixed.users[user], fixed.items, pattern(items, n_items))
    losses = row_losses(config, fixed.factors, batch, scores)
    mine = (own[:, None] == jnp.arange(groups)[None]) & batch["where"][:, None]
    return jax.vmap(lambda w: global_sum(losses, axis, where=w), in_axes=1)(mine)


def _project(content: Array, kernels: Array) -> Array:
    return jnp.einsum("ic,gcd->gid", content, kernels)


class _MaskedInputs(NamedTuple):
    """Arrays that the fitting of environments reads."""

    fixed: Pretrained
    mask: Float[Array, "c"]


def _fit_environments(
    config: InvRLConfig,
    inputs: _MaskedInputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    kernels = params["kernel"]
    projected = _project(inputs.fixed.content, kernels) + params["bias"][:, None]
    rank = environment_losses(config, inputs.fixed, projected, batch, axis).sum()
    size = kernels[0].size
    absolute = config.absolute * jnp.abs(kernels * inputs.mask[None, :, None]).sum() / size
    terms = {
        "rank": rank,
        "l2": config.kernel_l2 * sum(jnp.square(x).sum() for x in params.values()),
        "absolute": absolute,
    }
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms)


class _WeighedInputs(NamedTuple):
    """Arrays that the learning of the mask reads."""

    fixed: Pretrained
    alpha: Float[Array, ""]
    lam: Float[Array, ""]


def _learn_mask(
    config: InvRLConfig,
    inputs: _WeighedInputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    fixed, alpha, lam = inputs
    kernel, mu = params["kernel"], params["gate"]
    content = fixed.content * noisy_gates(key, mu, sigma=config.sigma)[None]
    copies = jnp.broadcast_to(kernel, (config.environments, *kernel.shape))

    def losses(kernels: Array) -> tuple[Array, Array]:
        each = environment_losses(config, fixed, _project(content, kernels), batch, axis)
        return each.sum(), each

    gradients, each = jax.grad(losses, has_aux=True)(copies)
    gradients = gradients if axis is None else lax.pmean(gradients, axis)
    rows = batch["environment"][:, None] == jnp.arange(config.environments)[None]
    rows = (rows & batch["where"][:, None]).astype(jnp.float32)
    there = jax.vmap(lambda r: global_sum(r, axis), in_axes=1)(rows) > 0
    penalty = jnp.square(spread(gradients, there) * (mu + 0.5)[:, None]).sum()
    terms = {
        "rank": each.sum() / jnp.maximum(there.sum(), 1),
        "l2": config.kernel_l2 * jnp.square(kernel).sum(),
        "penalty": alpha * penalty,
        "gate": lam * jnp.square(mu).sum(),
    }
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms | {"open": gates(mu).mean()})


def _init_environments(config: InvRLConfig, inputs: _MaskedInputs, key: Array) -> Variables:
    shape = (config.environments, inputs.fixed.content.shape[1], config.width)
    kernel = 0.01 * jax.random.normal(key, shape)
    return {"params": {"kernel": kernel, "bias": jnp.zeros((shape[0], shape[2]))}}


def _init_mask(config: InvRLConfig, inputs: _WeighedInputs, key: Array) -> Variables:
    shape = (inputs.fixed.content.shape[1], config.width)
    return {"params": {"kernel": 0.01 * jax.random.normal(key, shape), "gate": jnp.zeros(shape[0])}}


def environments(config: InvRLConfig, fixed: Pretrained, mask: Float[Array, "c"]) -> Objective:
    """Fit a kernel ``[g, c, d]`` and bias to each environment's interactions, by themselves.

    All environments train at once, for they share no parameter. They read the whole content;
    the mask only says which entries of a kernel are charged for. Batches also hold int32
    `environment` ``[b]``.
    """
    inputs = _MaskedInputs(fixed, mask)
    return Objective.bind(config, inputs, init=_init_environments, loss=_fit_environments)


def mask_learning(config: InvRLConfig, fixed: Pretrained, repetition: int = 0) -> Objective:
    """One kernel ``[c, d]`` and the gates' offsets `gate` ``[c]``, over given environments.

    The loss is ``mean_e L_e + alpha sum((spread_e(dL_e / dkernel) (mu + 1/2))^2) + lam sum(mu^2)``
    with noisy gates on the content, plus the kernel's norm; `alpha` and `lam` have grown with
    each repetition. Its gradient is of second order. `invariance.gates` of `gate` is the mask.

    One draw of the noise serves all environments of a step, where the authors' code draws for
    each; the mean is over the environments that have a row.
    """
    growth = config.growth**repetition
    weights = (jnp.asarray(config.alpha * growth), jnp.asarray(config.lam * growth))
    inputs = _WeighedInputs(fixed, *weights)
    return Objective.bind(config, inputs, init=_init_mask, loss=_learn_mask)


def best_environment(
    fixed: Pretrained, params: Mapping[str, Array], pairs: Int[Array, "p 2"]
) -> Int[Array, "p"]:
    """The environment whose model scores a pair highest; of equals, the first."""
    user, item = pairs.T

    def score(environment: tuple[Array, Array]) -> Array:
        kernel, bias = environment
        vectors = fixed.content @ kernel + bias[None]
        return (fixed.tastes[user] * vectors[item]).sum(1)

    return lax.map(score, (params["kernel"], params["bias"])).argmax(0).astype(jnp.int32)
