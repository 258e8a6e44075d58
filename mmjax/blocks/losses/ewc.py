"""Elastic weight consolidation: parameters that mattered before are held where they were.

J. Kirkpatrick et al., PNAS 2017, arXiv 1612.00796; the running form of J. Schwarz et al., ICML
2018, arXiv 1805.06370.

Axes: b examples.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

Params = Any
"""A pytree of arrays."""


def diagonal_fisher(
    loss: Callable[[Params, Any], Array], params: Params, examples: Any, *, at_once: int = 1
) -> Params:
    """Mean over examples of the squared gradient of each example's own loss.

    With labels of the data this is the empirical Fisher information, which the papers' codes use.
    Squaring the gradient of a batch's mean loss, as some do, gives something else.

    Args:
        loss: ``loss(params, example) -> scalar``, a negative log-likelihood.
        params: where it is taken.
        examples: pytree whose leaves have b rows.
        at_once: examples whose gradients are in memory together.

    Returns:
        A pytree like `params` in float32, entries 0 or more.
    """
    n = jax.tree.leaves(examples)[0].shape[0]

    def squared(example: Any) -> Params:
        gradient = jax.grad(loss)(params, example)
        return jax.tree.map(lambda g: jnp.square(g.astype(jnp.float32)), gradient)

    def add(total: Params, batch: Any) -> tuple[Params, None]:
        found = jax.vmap(squared)(batch)
        return jax.tree.map(lambda t, x: t + x.sum(0), total, found), None

    size = max(d for d in range(1, min(at_once, n) + 1) if n % d == 0)
    batches = jax.tree.map(lambda x: x.reshape(n // size, size, *x.shape[1:]), examples)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), params)
    total, _ = lax.scan(add, nothing, batches)
    return jax.tree.map(lambda x: x / n, total)


def penalty(params: Params, anchor: Params, fisher: Params) -> Float[Array, ""]:
    """``1/2 sum F (theta - theta*)^2``: 0 at the anchor, with gradient F (theta - theta*)."""
    terms = jax.tree.map(lambda x, a, f: (f * jnp.square(x - a)).sum(), params, anchor, fisher)
    return 0.5 * sum(jax.tree.leaves(terms), jnp.zeros(()))


def accumulate(fisher: Params, new: Params, *, decay: float = 1.0) -> Params:
    """``decay F + F_new``: one penalty, around the latest anchor, for all tasks so far."""
    return jax.tree.map(lambda f, x: decay * f + x, fisher, new)
