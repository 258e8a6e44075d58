"""A choice between losses that costs what the chosen one costs.

`jax.grad` of `jax.lax.switch` keeps what all branches need for their gradients, zeros where a
branch was not taken: room and traffic of the largest branches in every step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import Array, lax
from jaxtyping import Float, Int

Loss = Callable[..., tuple[Float[Array, ""], Any]]
"""``loss(params, *operands) -> (value, aux)``."""


def switched_loss(
    which: Int[Array, ""] | int, losses: Sequence[Loss], params: Any, *operands: Any
) -> tuple[Float[Array, ""], Any]:
    """``losses[which](params, *operands)``, differentiable once, by `params` alone.

    The gradient is computed inside the branch, together with the value. Nothing flows back from
    `aux`, nor into the operands.

    Args:
        which: index of the loss, clamped to the valid range.
        losses: functions of equal results.
        params: floating-point arrays, differentiated.
        operands: what else the losses read.
    """
    if len(losses) == 1:
        return losses[0](params, *operands)

    @jax.custom_vjp
    def chosen(params: Any) -> tuple[Array, Any]:
        return lax.switch(which, losses, params, *operands)

    def forward(params: Any) -> tuple[tuple[Array, Any], Any]:
        both = [jax.value_and_grad(loss, has_aux=True) for loss in losses]
        return lax.switch(which, both, params, *operands)

    def backward(gradient: Any, cotangent: tuple[Array, Any]) -> tuple[Any]:
        return (jax.tree.map(lambda g: g * cotangent[0], gradient),)

    chosen.defvjp(forward, backward)
    return chosen(params)
