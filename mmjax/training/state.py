"""The state that training carries from step to step."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Int, Key

from mmjax.objective import Objective, Params, State

EPOCH, BATCH, LOSS, EVALUATION = range(4)
"""Streams of a run's key: what is drawn per epoch, per batch, inside the loss, at evaluation."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything that the next step depends on beside data; replaced, never mutated.

    In a population every leaf has a leading axis of seeds. Transformations also fill the fields
    with what is not an array, such as shapes and shardings.
    """

    params: Params
    extra: State
    """Collections that the forward pass updates, such as batch statistics."""
    opt: optax.OptState
    step: Any
    """Steps done, int32 scalar; with `key` it decides every random draw."""
    key: Any
    """Root of all draws of the run, a typed key; never changes."""


def draw_key(key: Key[Array, ""], stream: int, count: Int[Array, ""] | int) -> Key[Array, ""]:
    """The key of draw number `count` of a `stream`: a function of seed and position alone."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), count)


def init_state(
    objective: Objective, optimiser: optax.GradientTransformation, key: Key[Array, ""]
) -> TrainState:
    """The state before the first step, from the key of a seed."""
    k_init, k_run = jax.random.split(key)
    variables = dict(objective.init(k_init))
    params = variables.pop("params")
    step = jnp.zeros((), jnp.int32)
    return TrainState(params, variables, optimiser.init(params), step, k_run)
