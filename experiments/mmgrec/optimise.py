"""The generator's optimiser."""

import optax

from experiments.mmgrec.config import Writing


def optimiser(config: Writing) -> optax.GradientTransformation:
    """AdamW with a linear warm-up, or SGD as released.

    SGD's momentum sums gradients (the step of PyTorch, without dampening) to which the decayed
    weights were added.
    """
    steps = max(config.warmup, 1)
    rate = optax.linear_schedule(config.learning_rate / steps, config.learning_rate, steps - 1 or 1)
    if config.optimiser == "sgd":
        decayed = optax.add_decayed_weights(config.weight_decay)
        return optax.chain(decayed, optax.sgd(rate, config.momentum))
    return optax.adamw(rate, weight_decay=config.weight_decay)
