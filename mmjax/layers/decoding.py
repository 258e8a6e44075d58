"""The step of a beam search, made of a module that writes codes.  Axes: none of its own."""

from typing import Any

from flax import linen as nn
from jax import Array

from mmjax.blocks.decoding.beams import Step


def decode_step(model: nn.Module, params: Any, *inputs: Array) -> tuple[Step, Any]:
    """The step of a search (`mmjax.blocks.decoding.beams`), and the state that it starts from.

    Args:
        model: its method ``start(*inputs)`` gives the memory that all steps read and the state of
            one beam; ``step(memory, state, last, level)`` gives logits and the next state.
        params: its parameters.
        inputs: what the codes are written for.
    """
    variables = {"params": params}
    memory, state = model.apply(variables, *inputs, method="start")

    def step(state: Any, last: Any, level: int) -> Any:
        return model.apply(variables, memory, state, last, level, method="step")

    return step, state
