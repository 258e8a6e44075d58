"""Binary search in many sorted segments at once.  Axes: any shape of queries, e entries."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Int


def count_at_most(
    entries: Int[Array, "e"],
    start: Int[Array, "*q"],
    stop: Int[Array, "*q"],
    query: Int[Array, "*q"],
    *,
    longest: int,
) -> Int[Array, "*q"]:
    """How many of ``entries[start:stop]`` are at most `query`, for each query on its own.

    Every segment must be ascending and at most `longest` (static) entries long; an empty one
    counts zero. ``log2(longest) + 1`` gathers of the queries' shape.
    """

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        right = (low < high) & (entries.at[middle].get(mode="clip") <= query)
        return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    start, stop = jnp.broadcast_arrays(start, stop)
    return lax.fori_loop(0, longest.bit_length(), halve, (start, stop))[0] - start
