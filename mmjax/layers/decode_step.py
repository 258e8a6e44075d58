"""What a beam search asks of a module that writes codes.  Axes: none of its own."""

from typing import Any

from flax import linen as nn
from jax import Array

from mmjax.blocks.decoding.beams import Step


def search_of(model: nn.Module, params: Any, *inputs: Array) -> tuple[Step, Any]:
    """The step of a search (`mmjax.blocks.decoding.beams`), and the state that it starts from.

    Args:
        model: its method ``start(*inputs)`` gives what all steps read and the state of one beam;
            ``step(fixed, state, last, level)`` gives logits and the state behind them.
        params: its parameters.
        inputs: what the codes are written for.
    """
    variables = {"params": params}
    fixed, state = model.apply(variables, *inputs, method="start")

    def step(state: Any, last: Any, level: int) -> Any:
        return model.apply(variables, fixed, state, last, level, method="step")

    return step, state
