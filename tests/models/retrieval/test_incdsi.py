"""The exact solve for a new row: the worked case, optimality, and what it promises to old rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from mmjax.models.retrieval import incdsi
from mmjax.models.retrieval.incdsi import Margins, append_jit, loss

EYE = jnp.eye(2)
WORKED = (EYE, 2 * EYE, 2, jnp.ones(2), Margins(0.5, 0.5, 0.5, 0.0))
solve = jax.jit(incdsi.solve)


@pytest.fixture(scope="module")
def tables():
    """Room for 40 rows, 30 in use; what lies behind them would be found if it were read."""
    rng = np.random.default_rng(0)
    z, noise, new = (rng.normal(size=(n, 8)).astype(np.float32) for n in (40, 40, 6))
    rows = 3 * z + noise
    rows[30:] = z[30:] = 1e3
    return jnp.asarray(rows), jnp.asarray(z), jnp.asarray(new)


@pytest.mark.parametrize(
    ("row", "want"), [((0.75, 0.75), 0.0), ((1.0, 1.0), 0.25), ((0.9, 0.6), 0.045)]
)
def test_worked_losses(row, want):
    assert loss(jnp.array(row), *WORKED) == pytest.approx(want, abs=1e-6)


def test_worked_case_is_solved_from_zero():
    w, z, count, q, margins = WORKED
    found = solve(w, z, count, q, jnp.zeros(2), margins)
    assert found.loss < 1e-6
    np.testing.assert_allclose(found.row, [0.75, 0.75], atol=1e-3)


@pytest.mark.parametrize("decay", [1e-6, 1e-2])
def test_no_other_method_finds_a_lower_loss(tables, decay):
    rows, z, new = tables
    margins = Margins(0.4, 20.0, 30.0, decay)

    @jax.jit
    def objective(x):
        return jax.value_and_grad(loss)(x, rows, z, 30, new[0], margins)

    def numpy_objective(x):
        value, slope = objective(jnp.asarray(x, jnp.float32))
        return float(value), np.asarray(slope, np.float64)

    found = solve(rows, z, 30, new[0], jnp.zeros(8), margins, tolerance=1e-6)
    best = minimize(numpy_objective, np.zeros(8), jac=True, method="L-BFGS-B")
    assert best.fun > 0.1
    assert float(found.loss) <= best.fun * (1 + 1e-4) + 1e-5
    assert int(found.steps) < 30


def test_rows_are_appended_one_after_the_other(tables):
    rows, z, new = tables
    new = jnp.asarray(
        np.array(new)[:1] + 0.2 * np.array(new)
    )  # documents so alike that each one bounds the next
    margins, starts = Margins(0.5, 0.3, 0.3, 0.0), jnp.zeros((6, 8))
    after, cached, found = append_jit(rows, z, 30, new, starts, margins)
    np.testing.assert_array_equal(after[:30], rows[:30])
    np.testing.assert_array_equal(after[36:], rows[36:])
    np.testing.assert_array_equal(cached[30:36], new)
    # By hand: each one is solved among all before it.
    w, c = np.array(rows), np.array(z)
    for n in range(6):
        row = solve(jnp.asarray(w), jnp.asarray(c), 30 + n, new[n], starts[n], margins).row
        np.testing.assert_allclose(after[30 + n], row, atol=1e-4)
        w[30 + n], c[30 + n] = after[30 + n], new[n]
    backwards = jnp.asarray(np.array(new)[::-1])
    other = append_jit(rows, z, 30, backwards, starts, margins)[0]
    assert not np.allclose(after[30], other[35], atol=1e-3)
    # One program for any count.
    before = append_jit._cache_size()
    append_jit(rows, z, 20, new, starts, margins)
    assert append_jit._cache_size() == before


def test_without_loss_every_margin_is_kept(tables):
    rows, z, new = tables
    margins = Margins(0.5, 0.2, 0.2, 0.0)
    after, _, found = append_jit(
        jnp.asarray(10 * np.array(rows)), z, 30, new, jnp.zeros((6, 8)), margins
    )
    exact = np.flatnonzero(np.asarray(found.loss) < 1e-10)
    assert len(exact) >= 3
    after, new = np.array(after), np.array(new)
    logits = np.array(z)[:30] @ after[:36].T
    own = np.diagonal(logits[:, :30])
    for n in exact:
        assert (logits[:, 30 + n] <= own - 0.2 + 1e-3).all()
        mine = new[n] @ after[:36].T
        assert mine[30 + n] >= mine[: 30 + n].max() + 0.2 - 1e-3
