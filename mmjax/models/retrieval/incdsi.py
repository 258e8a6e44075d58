"""IncDSI: the classifier row of a new document as the solution of a small convex problem.

V. Kishore et al., ICML 2023, arXiv 2307.10323.

Axes: n rows of the tables, of which a count is in use; d width; k new documents.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.sparse.linalg import cg
from jaxtyping import Float, Int

_HALVINGS = 24
_PRODUCTS, _ACCURACY = 30, 1e-4


class Margins(NamedTuple):
    """Margins that a new row must keep, and the weight of each part."""

    balance: float | Float[Array, ""] = 0.5
    """Weight lambda of the new document against 1 - lambda for the old ones, in (0, 1)."""
    new: float | Float[Array, ""] = 1.0
    """Margin m1 by which the new document's query must prefer the new row to any other."""
    old: float | Float[Array, ""] = 1.0
    """Margin m2 by which old queries must prefer their own rows to the new one."""
    decay: float | Float[Array, ""] = 1e-6
    """Weight rho of the row's squared norm, 0 or more."""


class Solved(NamedTuple):
    """A new row."""

    row: Float[Array, "d"]
    loss: Float[Array, ""]
    """Of `loss` at the row; without decay, 0 means that every margin is kept."""
    steps: Int[Array, ""]
    """Newton steps that were made."""


class _Problem(NamedTuple):
    """``lambda [c - x.q]+^2 + (1 - lambda) sum_j [z_j.x - b_j]+^2 + rho |x|^2``."""

    queries: Array
    query: Array
    wanted: Array
    most: Array
    margins: Margins


def draw_margins(n: int, seed: int) -> list[Margins]:
    """Random margins from the ranges that the authors search (arXiv 2307.10323)."""
    rng = np.random.default_rng(seed)
    return [
        Margins(
            balance=float(rng.uniform(0.05, 0.95)),
            new=float(rng.uniform(0.0, 8.0)),
            old=float(rng.uniform(0.0, 8.0)),
            decay=float(10.0 ** rng.uniform(-10.0, -3.0)),
        )
        for _ in range(n)
    ]


def loss(
    row: Float[Array, "d"],
    rows: Float[Array, "n d"],
    queries: Float[Array, "n d"],
    count: int | Int[Array, ""],
    query: Float[Array, "d"],
    margins: Margins,
) -> Float[Array, ""]:
    """Objective of `solve`: squared hinges of the new query and of all old ones.

    ``lambda [max_j w_j.q + m1 - x.q]+^2 + (1 - lambda) sum_j [x.z_j - w_j.z_j + m2]+^2
    + rho |x|^2`` over j below `count` (arXiv 2307.10323, equations 3 to 5).

    Args:
        row: the new row x.
        rows: classifier rows w; those from `count` on are never read.
        queries: the cached query z of each row's document.
        count: rows in use, 1 or more.
        query: query q of the new document, the mean of its queries' features.
        margins: lambda, m1, m2 and rho.
    """
    return _value(_problem(rows, queries, count, query, margins), row)


def solve(
    rows: Float[Array, "n d"],
    queries: Float[Array, "n d"],
    count: int | Int[Array, ""],
    query: Float[Array, "d"],
    start: Float[Array, "d"],
    margins: Margins,
    *,
    most_steps: int | Int[Array, ""] = 30,
    tolerance: float | Float[Array, ""] = 1e-3,
) -> Solved:
    """The new row, by Newton's method with a line search on the piecewise quadratic problem.

    Directions come from conjugate gradients, whose products read only the tables. It stops where
    a step is shorter than `tolerance`, as the authors do, or the loss is 0. They use L-BFGS; the
    problem is convex, so both go to the same loss (`experiments/benchmarks/incdsi`).

    Args:
        rows, queries, count, query, margins: as for `loss`.
        start: where to begin; where the loss is flat, the answer is near it.
        most_steps: Newton steps at most.
        tolerance: length of a step that is no longer worth making.
    """
    problem = _problem(rows, queries, count, query, margins)

    def step(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        x, value, _, n = carry
        direction, slope = _direction(problem, x)
        size = _line_search(problem, x, value, direction, slope)
        x = x + size * direction
        return x, _value(problem, x), size * jnp.linalg.norm(direction), n + 1

    def unfinished(carry: tuple[Array, Array, Array, Array]) -> Array:
        _, value, moved, n = carry
        return (value > 0) & (moved >= tolerance) & (n < most_steps)

    first = start, _value(problem, start), jnp.array(jnp.inf), jnp.array(0)
    x, value, _, n = lax.while_loop(unfinished, step, first)
    return Solved(x, value, n)


def append(
    rows: Float[Array, "n d"],
    queries: Float[Array, "n d"],
    count: int | Int[Array, ""],
    new: Float[Array, "k d"],
    starts: Float[Array, "k d"],
    margins: Margins,
    *,
    most_steps: int | Int[Array, ""] = 30,
    tolerance: float | Float[Array, ""] = 1e-3,
) -> tuple[Float[Array, "n d"], Float[Array, "n d"], Solved]:
    """The tables with the rows of k documents at ``count .. count + k - 1``, one after the other.

    A document's row and query join before the next one is solved, so that new documents keep
    apart from each other, and their order matters. Rows in use are never changed. One program
    serves any count.

    Args:
        rows, queries: tables with room for ``count + k`` rows.
        count: rows in use, 1 or more.
        new: query of each new document, the mean of its queries' features.
        starts: where each row's search begins.
        margins, most_steps, tolerance: as for `solve`.

    Returns:
        Rows, queries and what `solve` says of each new row.
    """

    def one(
        carry: tuple[Array, Array, Array], document: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], Solved]:
        rows, queries, count = carry
        query, start = document
        found = solve(
            rows, queries, count, query, start, margins, most_steps=most_steps, tolerance=tolerance
        )
        rows = rows.at[count].set(found.row, mode="drop")
        queries = queries.at[count].set(query, mode="drop")
        return (rows, queries, count + 1), found

    first = rows, queries, jnp.asarray(count, jnp.int32)
    (rows, queries, _), found = lax.scan(one, first, (new, starts))
    return rows, queries, found


def _problem(
    rows: Array, queries: Array, count: int | Array, query: Array, margins: Margins
) -> _Problem:
    used = jnp.arange(rows.shape[0]) < count
    wanted = jnp.where(used, rows @ query, -jnp.inf).max() + margins.new
    # A row that is not in use asks nothing of x: no inner product exceeds infinity.
    most = jnp.where(used, (rows * queries).sum(1) - margins.old, jnp.inf)
    return _Problem(queries, query, wanted, most, margins)


def _hinges(p: _Problem, x: Array) -> tuple[Array, Array]:
    return jnp.maximum(p.wanted - x @ p.query, 0.0), jnp.maximum(p.queries @ x - p.most, 0.0)


def _value(p: _Problem, x: Array) -> Array:
    new, old = _hinges(p, x)
    balance = p.margins.balance
    kept = balance * new**2 + (1 - balance) * (old**2).sum()
    return kept + p.margins.decay * (x**2).sum()


def _direction(p: _Problem, x: Array) -> tuple[Array, Array]:
    """Newton's direction and the slope of the loss along it."""
    m = p.margins
    new, old = _hinges(p, x)
    gradient = 2 * (m.decay * x - m.balance * new * p.query + (1 - m.balance) * (old @ p.queries))
    of_new = jnp.where(new > 0, m.balance, 0.0)
    of_old = jnp.where(old > 0, 1 - m.balance, 0.0)

    def curvature(v: Array) -> Array:
        kept = of_new * (p.query @ v) * p.query + (of_old * (p.queries @ v)) @ p.queries
        return 2 * (kept + m.decay * v)

    direction, _ = cg(curvature, -gradient, tol=_ACCURACY, maxiter=_PRODUCTS)
    downhill = jnp.isfinite(direction).all() & (direction @ gradient < 0)
    direction = jnp.where(downhill, direction, -gradient)
    return direction, direction @ gradient


def _line_search(p: _Problem, x: Array, value: Array, direction: Array, slope: Array) -> Array:
    """The first of 1, 1/2, 1/4, ... that lowers the loss by a share of what the slope promises."""

    def too_long(carry: tuple[Array, Array]) -> Array:
        size, n = carry
        target = value + 1e-4 * size * slope
        return (_value(p, x + size * direction) > target) & (n < _HALVINGS)

    size, n = lax.while_loop(too_long, lambda c: (c[0] / 2, c[1] + 1), (jnp.ones(()), jnp.array(0)))
    return jnp.where(n < _HALVINGS, size, 0.0)


append_jit = jax.jit(append)
"""`append` compiled; the tables' sizes decide on the program, the count does not."""
