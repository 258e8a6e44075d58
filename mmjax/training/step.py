"""The update, written once, and a loop of updates that stays on the device."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jaxtyping import Float, Int

from mmjax.objective import Batch, Objective, State
from mmjax.training.sources.pairs import BatchSource, EpochPlan
from mmjax.training.state import BATCH, EPOCH, LOSS, TrainState, draw_key

Metrics = dict[str, Array]
Rows = Callable[[Batch], Batch]
"""Takes a global batch to the rows that one device works on."""


def all_rows(batch: Batch) -> Batch:
    """The whole batch: one device does all the work."""
    return batch


def update(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    state: TrainState,
    batch: Batch,
    axis: str | None = None,
) -> tuple[TrainState, Metrics]:
    """One optimiser step; returns the new state and float32 scalar metrics.

    Args:
        objective: the method; its loss sees a key that is a function of seed and step.
        optimiser: any `optax` transformation; the loss is offered to it as `value`.
        state: state before the step.
        batch: the global batch, or this device's rows of it if `axis` is given.
        axis: name of the mapped axis over which gradients, metrics and updated collections are
            averaged. None means a global view, where the compiler inserts the reductions.
    """
    key = draw_key(state.key, LOSS, state.step)

    def loss(params: State) -> tuple[Array, tuple[State, Metrics]]:
        value, aux = objective.loss(params, state.extra, batch, key, axis=axis)
        return value, (aux.state, {**aux.metrics, "loss": value})

    grads, (extra, metrics) = jax.grad(loss, has_aux=True)(state.params)
    if axis is not None:
        grads, metrics = lax.pmean((grads, metrics), axis)
        extra = jax.tree.map(lambda old, new: _agree(old, new, axis), state.extra, extra)
    optimiser = optax.with_extra_args_support(optimiser)
    updates, opt = optimiser.update(grads, state.opt, state.params, value=metrics["loss"])
    params = optax.apply_updates(state.params, updates)
    metrics = {name: jnp.asarray(m, jnp.float32) for name, m in metrics.items()}
    return TrainState(params, extra, opt, state.step + 1, state.key), metrics


def _agree(old: Array, new: Array, axis: str) -> Array:
    """One value for a collection that each device computed from its own rows."""
    if new is old:
        return new
    return lax.pmean(new, axis) if jnp.issubdtype(new.dtype, jnp.inexact) else lax.pmax(new, axis)


def start_epoch(source: BatchSource, state: TrainState) -> EpochPlan:
    """The plan of the epoch that `state` is in: the same wherever in the epoch it is asked."""
    return source.epoch(draw_key(state.key, EPOCH, state.step // source.steps_per_epoch))


def split_epoch(steps: int, most: int) -> int:
    """The number of steps to run per call: few calls an epoch, `most` steps in a call, no rest if
    that costs little.

    The largest divisor of `steps` up to `most` if it is at least half of `most`, otherwise the
    number that spreads the steps evenly over the fewest calls.
    """
    divisor = max(n for n in range(1, min(most, steps) + 1) if steps % n == 0)
    return divisor if 2 * divisor >= most else -(-steps // -(-steps // most))


def run_steps(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    source: BatchSource,
    state: TrainState,
    plan: EpochPlan,
    first: Int[Array, ""] | int,
    *,
    n_steps: int,
    ragged: bool = True,
    rows: Rows = all_rows,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Float[Array, "n"]]]:
    """Steps `first` to ``first + n_steps`` of an epoch; metrics per step.

    Args:
        objective: the method.
        optimiser: its optimiser.
        source: where batches come from.
        state: state before step `first`.
        plan: the epoch's plan, from `start_epoch`.
        first: number of the first step within the epoch.
        n_steps: how many, at most one epoch.
        ragged: the last ones may lie beyond the end of the epoch; these leave the state alone
            and report zeros. False promises that none does.
        rows: what to do to a global batch before the update.
        axis: mapped axis of devices, see `update`.
    """

    def step(state: TrainState, i: Array) -> tuple[TrainState, Metrics]:
        batch = source.batch(plan, i, draw_key(state.key, BATCH, state.step))
        batch = {**rows(batch), **source.shared(plan)}
        return update(objective, optimiser, state, batch, axis)

    def step_or_skip(state: TrainState, i: Array) -> tuple[TrainState, Metrics]:
        zeros = jax.tree.map(
            lambda m: jnp.zeros(m.shape, m.dtype), jax.eval_shape(step, state, i)[1]
        )
        return lax.cond(i < source.steps_per_epoch, step, lambda s, _: (s, zeros), state, i)

    index = jnp.asarray(first, jnp.int32) + jnp.arange(n_steps, dtype=jnp.int32)
    return lax.scan(step_or_skip if ragged else step, state, index)


def run_epochs(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    source: BatchSource,
    state: TrainState,
    n_epochs: int,
    *,
    rows: Rows = all_rows,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Float[Array, "n s"]]]:
    """Whole epochs in one program; `state` must be at the beginning of one. Metrics per step."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
        plan, n = start_epoch(source, state), source.steps_per_epoch
        options = {"n_steps": n, "ragged": False, "rows": rows, "axis": axis}
        return run_steps(objective, optimiser, source, state, plan, 0, **options)

    return lax.scan(epoch, state, None, length=n_epochs)


def per_seed(
    f: Callable[..., Any], in_axes: Sequence[int | None], seeds: int
) -> Callable[..., Any]:
    """`f` for each of `seeds`: `vmap` over the leading axis of the arguments whose `in_axes` is 0.

    A single seed is not batched: its axis is taken off and put back, which costs nothing.
    """
    if seeds > 1:
        return jax.vmap(f, in_axes=tuple(in_axes))

    def single(*args: Any) -> Any:
        args = tuple(
            a if axis is None else jax.tree.map(lambda x: jnp.squeeze(x, 0), a)
            for a, axis in zip(args, in_axes, strict=True)
        )
        return jax.tree.map(lambda x: x[None], f(*args))

    return single
