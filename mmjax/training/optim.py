"""Optimisers from settings."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mmjax.training.config import OptimConfig


def optimiser(
    config: OptimConfig, steps_per_epoch: int, *, epochs: int | None = None
) -> optax.GradientTransformation:
    """The optax transformation that `config` describes.

    In this order: clipping, coupled weight decay, the update rule with its step sizes, decoupled
    decay; all of it once every `accumulate` steps. An update that is not complete when training
    ends is left out.

    Args:
        config: the settings.
        steps_per_epoch: of the source of batches, for a decay per epoch and the number of steps.
        epochs: most epochs, where the schedule or the warm-up depends on the number of steps.

    Raises:
        ValueError: `epochs` is needed and missing.
    """
    rate = step_size(config, steps_per_epoch, epochs=epochs)
    mask = _decayed(config) if config.undecayed or config.decayed_ndim else None
    parts = []
    if config.clip:
        parts.append(optax.clip_by_global_norm(config.clip))
    if config.weight_decay and not config.decoupled:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask))
    parts.append(_rule(config, rate, mask))
    whole = parts[0] if len(parts) == 1 else optax.chain(*parts)
    if config.accumulate == 1:
        return whole
    return optax.MultiSteps(whole, config.accumulate).gradient_transformation()


def step_size(
    config: OptimConfig, steps_per_epoch: int, *, epochs: int | None = None
) -> optax.ScalarOrSchedule:
    """The step size, or its schedule over updates; arguments and errors as for `optimiser`."""
    total = None
    if epochs is not None:
        total = max(epochs * steps_per_epoch // config.accumulate, 1)
    if total is None and (config.schedule != "constant" or config.warmup_share):
        raise ValueError(
            "a schedule that ends, or a warm-up as a share of all steps, needs `epochs`"
        )
    warmup = config.warmup_steps or int(config.warmup_share * (total or 0))
    if not config.warmup_from_zero:
        # Without a warm-up, the first step alone: a schedule too, since a compiled step that gets
        # its size from one rounds otherwise than one whose size is a constant.
        warmup = max(warmup, 1)
    peak = config.learning_rate
    behind = _behind(config, steps_per_epoch, max((total or 0) - warmup, 1))
    if not warmup:
        return behind
    first, rising = (0.0, warmup) if config.warmup_from_zero else (peak / warmup, warmup - 1)
    up = optax.linear_schedule(first, peak, max(rising, 1))
    if not callable(behind):
        return up
    return optax.join_schedules([up, behind], [warmup])


def _behind(config: OptimConfig, steps_per_epoch: int, steps: int) -> optax.ScalarOrSchedule:
    """The step size behind the warm-up, in which it has `steps` to go."""
    peak, floor = config.learning_rate, config.floor
    if config.schedule == "linear":
        return optax.linear_schedule(peak, floor, steps)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps, floor / peak if peak else 0.0)
    if config.decay == 1.0:
        return peak
    last = math.inf
    if floor > 0:
        last = max(math.floor(math.log(floor / peak) / math.log(config.decay)), 0)

    def per_epoch(update: Any) -> Any:
        epoch = update * config.accumulate // steps_per_epoch
        return peak * config.decay ** jnp.minimum(epoch, last)

    return per_epoch


def _rule(
    config: OptimConfig, rate: optax.ScalarOrSchedule, mask: Any
) -> optax.GradientTransformation:
    b1, b2 = config.betas
    if config.optimiser == "adam" and config.decoupled:
        decay = config.weight_decay
        return optax.adamw(rate, b1, b2, config.eps, weight_decay=decay, mask=mask)
    if config.optimiser == "adam":
        return optax.adam(rate, b1, b2, config.eps)
    momentum = config.momentum or None
    if config.weight_decay and config.decoupled:
        return optax.chain(
            optax.trace(momentum) if momentum else optax.identity(),
            optax.add_decayed_weights(config.weight_decay, mask),
            optax.scale_by_learning_rate(rate),
        )
    return optax.sgd(rate, momentum)


def _decayed(config: OptimConfig) -> Any:
    """The mask of optax: which parameters decay."""

    def of(path: Any, x: Any) -> bool:
        name = str(getattr(path[-1], "key", path[-1])) if path else ""
        return name not in config.undecayed and jnp.ndim(x) >= config.decayed_ndim

    return lambda params: jax.tree_util.tree_map_with_path(of, params)
