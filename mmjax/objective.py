"""What a method hands to training: pure functions, in the manner of `optax`."""

from typing import Any, NamedTuple

import jax
from jax.tree_util import Partial

Params = Any
"""Nested dict of trained arrays."""
State = Any
"""Nested dict of arrays that a forward pass updates, such as batch statistics."""
Variables = Any
"""``{"params": Params, **State}``, as Flax Linen's `init` returns it."""
Batch = Any
"""Dict of arrays whose leading axis is the rows of the batch."""


class Aux(NamedTuple):
    """What a loss returns beside its value."""

    state: State
    metrics: dict[str, jax.Array]


class Objective(NamedTuple):
    """A method as pure functions; one stage of a paper is one objective.

    Every field is a `jax.tree_util.Partial`, which makes the objective itself a pytree: features
    and graphs are bound as arguments of the Partials, so a jitted step receives them as inputs
    and never bakes them into the program.

    Attributes:
        init: ``init(key) -> Variables``.
        loss: ``loss(params, state, batch, key, axis=None) -> (scalar, Aux)``; `axis` names the
            mapped axis over which the caller averages the gradient, or is None in a global view.
        predict: ``predict(params, state, key) -> pytree``, the outputs that evaluation reads
            (recommenders: user vectors ``[u, d]`` and item vectors ``[i, d]``).
        epoch: ``epoch(key) -> dict`` of arrays that are drawn once an epoch and join every batch
            whole, such as the weights of a thinned graph; None draws nothing.
        score: ``score(users [b, d], items [i, d]) -> [b, i]``, how `predict`'s vectors are
            compared; None is the inner product.
    """

    init: Partial
    loss: Partial
    predict: Partial
    epoch: Partial | None = None
    score: Partial | None = None
