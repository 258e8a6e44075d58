"""The training side of a method: pure functions, in the manner of `optax`."""

from collections.abc import Callable
from dataclasses import dataclass
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
    """Updated collections and metrics, which a loss returns beside its value."""

    state: State
    metrics: dict[str, jax.Array]


@dataclass(frozen=True)
class Bound:
    """A function whose first argument is fixed; equal, unlike a `functools.partial`, to another
    one of the same function and argument, so that both share their compiled programs."""

    function: Callable[..., Any]
    first: Any
    """Static and hashable, such as a Flax module or a config."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value of the function."""
        return self.function(self.first, *args, **kwargs)


class Objective(NamedTuple):
    """All that training needs of a method; one stage of a paper is one objective.

    Every field is a `jax.tree_util.Partial`, which makes the objective itself a pytree: features
    and graphs are bound as arguments of the Partials, so a jitted step receives them as inputs
    and never bakes them into the program.

    Attributes:
        init: ``init(key) -> Variables``.
        loss: ``loss(params, state, batch, key, axis=None) -> (scalar, Aux)``; `axis` names the
            mapped axis over which the caller averages the gradient, or is None in a global view.
        epoch: ``epoch(key) -> dict`` of arrays that are drawn once an epoch and join every batch
            whole, such as the weights of a thinned graph; None draws nothing.
    """

    init: Partial
    loss: Partial
    epoch: Partial | None = None

    @classmethod
    def bind(
        cls,
        model: Any,
        inputs: Any,
        *,
        init: Callable[..., Variables],
        loss: Callable[..., tuple[jax.Array, Aux]],
        epoch: Callable[..., dict[str, jax.Array]] | None = None,
    ) -> "Objective":
        """An objective whose functions read a model and a pytree of arrays before their own.

        Args:
            model: static and hashable, such as a Flax module or a config; part of the program.
            inputs: pytree of arrays, such as features and graphs; arguments of the program.
            init: ``init(model, inputs, key)``.
            loss: ``loss(model, inputs, params, state, batch, key, *, axis)``.
            epoch: ``epoch(model, inputs, key)``.
        """
        return cls(
            Partial(Bound(init, model), inputs),
            Partial(Bound(loss, model), inputs),
            None if epoch is None else Partial(Bound(epoch, model), inputs),
        )
