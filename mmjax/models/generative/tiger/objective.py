"""TIGER: writes the semantic id of the next item after reading those of the history.

S. Rajput et al., NeurIPS 2023, arXiv 2305.05065.

Axes: b users, l levels of an id, i items.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from mmjax.blocks.common.branches import switched_loss
from mmjax.blocks.common.collectives import over_devices, own_key
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.generative.tiger.config import TIGERConfig
from mmjax.models.generative.tiger.network import TIGER
from mmjax.models.generative.tiger.search import id_retriever
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model


def _init(model: TIGER, codes: Array, key: Array) -> Variables:
    one = jnp.zeros(1, jnp.int32)
    return dict(model.init(key, codes, one[:, None], one, one))


def _loss(
    model: TIGER,
    codes: Array,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    where = batch["where"].astype(jnp.float32)
    weights = where / jnp.maximum(over_devices(where.sum(), axis), 1.0)
    widths = _widths(model.config)
    longest = (batch["history"] >= 0).sum(axis=1).max()
    which = sum((longest > width).astype(jnp.int32) for width in widths[:-1])
    losses = [functools.partial(_weighted, model, codes, width) for width in widths]
    loss, levels = switched_loss(which, losses, params, batch, weights, own_key(key, axis))
    metrics = {f"code_{n}": over_devices(x, axis) for n, x in enumerate(levels)}
    return over_devices(loss, axis), Aux(state, metrics)


def _widths(config: TIGERConfig) -> tuple[int, ...]:
    """Items that a history may be cut to where it has no more, the longest last."""
    return (*(n for n in config.length_buckets if n < config.history), config.history)


def _weighted(
    model: TIGER,
    codes: Array,
    width: int,
    params: Params,
    batch: Mapping[str, Array],
    weights: Float[Array, "b"],
    key: Array,
) -> tuple[Float[Array, ""], Float[Array, "l"]]:
    """Cross-entropy of the rows' targets after the latest `width` items; mean and each of codes."""
    inputs = batch["history"][:, -width:], batch["user"], batch["item"]
    logits: Any = model.apply({"params": params}, codes, *inputs, train=True, rngs={"dropout": key})
    own = codes[batch["item"]]
    losses = []
    for level in range(len(model.sizes)):
        x = model.of_level(logits[:, level], level)
        at = jnp.take_along_axis(x, own[:, level, None], axis=1)[:, 0]
        losses.append(weights @ (jax.nn.logsumexp(x, axis=1) - at))
    levels = jnp.stack(losses)
    return levels.mean(), levels


def build(
    config: TIGERConfig,
    task: SequenceTask,
    codes: Integer[np.ndarray, "i l"],
    sizes: tuple[int, ...],
) -> Model:
    """TIGER for items with semantic ids, retrieving what comes after the task's histories.

    Batches are those of `mmjax.training.sources.windows_source`. Queries are users by number,
    the rows of the task's histories.

    Args:
        config: hyper-parameters.
        task: the histories that the retriever reads.
        codes: ids of the items, level by level; items of equal ids are found one after the other.
        sizes: codes of each level.

    Raises:
        ValueError: there are not as many ids as items, a code is out of range, `softmax` is
            unknown, or `length_buckets` do not ascend.
    """
    if config.softmax not in ("level", "vocabulary"):
        raise ValueError(f"TIGER: softmax {config.softmax!r}; choose 'level' or 'vocabulary'")
    if list(config.length_buckets) != sorted({n for n in config.length_buckets if n > 0}):
        raise ValueError(
            f"TIGER: length_buckets {config.length_buckets} must be above 0 and ascend"
        )
    if codes.shape != (task.n_items, len(sizes)):
        raise ValueError(
            f"TIGER: ids of shape {codes.shape} for {task.n_items} items and {len(sizes)} levels"
        )
    model = TIGER(config, tuple(sizes))
    return Model(
        Objective.bind(model, jnp.asarray(codes, jnp.int32), init=_init, loss=_loss),
        id_retriever(model, task, codes),
    )
