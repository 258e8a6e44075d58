"""Vector and residual quantisation: values, gradients of the conventions, losses."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation import quantize
from mmjax.blocks.quantisation.codes import nearest
from mmjax.blocks.quantisation.encoding import decode, encode
from mmjax.blocks.quantisation.quantize import (
    codebook_loss,
    commitment_loss,
    draw_levels,
    quantise,
    squared_error,
)

MODES = ("detach", "ste_residual", "raw")
QUANTISE = jax.jit(quantise, static_argnames=("residual", "estimator", "output"))
ENCODE = jax.jit(encode)
C1 = jnp.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
C2 = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
X = jnp.array([[4.7, 1.2]])


def problem(seed=0, rows=6, sizes=(7, 5, 3), width=4):
    keys = jax.random.split(jax.random.key(seed), len(sizes) + 1)
    books = [
        0.6**m * jax.random.normal(k, (s, width))
        for m, (k, s) in enumerate(zip(keys, sizes, strict=False))
    ]
    return jax.random.normal(keys[-1], (rows, width)), books


@pytest.mark.parametrize("residual", MODES)
@pytest.mark.parametrize("estimator", ["straight_through", "rotation"])
@pytest.mark.parametrize("output", ["whole", "levels"])
def test_two_levels_by_hand(residual, estimator, output):
    options = {"residual": residual, "estimator": estimator, "output": output}
    found = QUANTISE(X, [C1, C2], **options)
    assert_array_equal(found.codes, [[1, 2]])
    assert_allclose(found.output, [[4.0, 1.0]], atol=1e-6)
    rest = found.inputs - found.vectors
    assert_allclose(jnp.square(rest).sum(-1)[:, 0], [1.93, 0.53], rtol=1e-5)
    assert_allclose(rest[-1], [[0.7, 0.2]], rtol=1e-5)
    summed = {"reduction": "sum", "level_reduction": "sum"}
    for loss in (codebook_loss, commitment_loss):
        assert_allclose(loss(found, **summed), [2.46], rtol=1e-5)
        assert_allclose(loss(found), [1.23], rtol=1e-5)
        assert_allclose(loss(found, level_reduction="mean"), [0.615], rtol=1e-5)


@pytest.mark.parametrize(
    ("residual", "output", "scale"),
    [(m, "whole", 1) for m in MODES]
    + [("detach", "levels", 3), ("ste_residual", "levels", 1), ("raw", "levels", 3)],
)
def test_gradient_of_the_output(residual, output, scale):
    x, books = problem()

    def run(x):
        return quantise(x, books, residual=residual, output=output).output

    jacobian = jax.jit(jax.jacobian(run))(x)
    rows, width = x.shape
    expected = scale * np.einsum("ij,de->idje", np.eye(rows), np.eye(width))
    assert_allclose(jacobian, expected, atol=1e-6)


@pytest.mark.parametrize("residual", MODES)
def test_whom_the_commitment_of_the_second_level_reaches(residual):
    x, books = problem()

    def second(x, books):
        found = quantise(x, books, residual=residual)
        z, q = found.inputs[1], jax.lax.stop_gradient(found.vectors[1])
        return squared_error(z, q).sum()

    dx, dbooks = jax.jit(jax.grad(second, (0, 1)))(x, books)
    assert dx.any() == (residual != "ste_residual")
    assert dbooks[0].any() == (residual == "raw")
    assert not dbooks[1].any() and not dbooks[2].any()


@pytest.mark.parametrize("residual", MODES)
def test_codebook_loss_moves_chosen_codes_and_nothing_else(residual):
    x, books = problem()
    codes = np.asarray(ENCODE(x, books))

    def loss(x, books):
        return codebook_loss(quantise(x, books, residual=residual), reduction="sum").sum()

    dx, dbooks = jax.jit(jax.grad(loss, (0, 1)))(x, books)
    assert not dx.any()
    z = np.asarray(x)
    for m, book in enumerate(books):
        expected = np.zeros(book.shape)
        for row, code in zip(z, codes[:, m], strict=True):
            expected[code] += 2 * (np.asarray(book)[code] - row)
        assert_allclose(dbooks[m], expected, atol=1e-4)
        assert not dbooks[m][np.setdiff1d(np.arange(len(book)), codes[:, m])].any()
        z = z - np.asarray(book)[codes[:, m]]


@pytest.mark.parametrize("residual", ["detach", "ste_residual"])
def test_commitment_gives_codebooks_no_gradient(residual):
    x, books = problem()

    def loss(books):
        return commitment_loss(quantise(x, books, residual=residual)).sum()

    chex.assert_trees_all_equal(jax.grad(loss)(books), jax.tree.map(jnp.zeros_like, books))


@settings(max_examples=20)
@given(st.integers(0, 2**20), st.sampled_from(MODES))
def test_inputs_are_vectors_and_the_rest(seed, residual):
    x, books = problem(seed)
    found = QUANTISE(x, books, residual=residual)
    rest = found.inputs[-1] - found.vectors[-1]
    assert_allclose(found.vectors.sum(0) + rest, x, atol=1e-5)
    assert_allclose(found.output, decode(found.codes, books), atol=1e-6)
    assert_array_equal(found.codes, ENCODE(x, books))


@settings(max_examples=20)
@given(st.integers(0, 2**20))
def test_a_level_with_a_zero_code_never_lengthens_the_residual(seed):
    x, books = problem(seed)
    found = QUANTISE(x, [b.at[0].set(0.0) for b in books])
    rest = found.inputs - found.vectors
    lengths = jnp.linalg.norm(jnp.concatenate([found.inputs[:1], rest]), axis=-1)
    assert (lengths[1:] <= lengths[:-1] + 1e-5).all()


def test_one_codebook_is_vector_quantisation():
    x, books = problem()
    results = [quantise(x, books[:1], residual=m, output=o) for m in MODES for o in ("whole",)]
    for other in results[1:]:
        chex.assert_trees_all_equal(other, results[0])
    assert_array_equal(results[0].output, books[0][nearest(x, books[0])])


def test_a_shared_codebook_gathers_the_gradients_of_its_levels():
    x, (book, *_) = problem()
    loss = lambda *books: codebook_loss(quantise(x, books)).sum()  # noqa: E731
    shared = jax.grad(lambda b: loss(b, b))(book)
    first, second = jax.grad(loss, (0, 1))(book, book)
    assert_allclose(shared, first + second, rtol=1e-5)


def test_levels_that_a_row_does_not_use():
    x, books = problem()
    active = jnp.array([1, 2, 3, 3, 1, 2])
    found = quantise(x, books, active=active, output="levels")
    used = np.arange(3)[None] < np.asarray(active)[:, None]
    assert_array_equal(found.codes, np.where(used, encode(x, books), -1))
    assert not found.vectors[~used.T].any() and not found.inputs[~used.T].any()
    assert_allclose(found.output, decode(found.codes, books), atol=1e-6)
    for m, n in enumerate(np.asarray(active)):
        alone = quantise(x[m : m + 1], books[:n])
        losses = [commitment_loss(f)[i] for f, i in ((found, m), (alone, 0))]
        assert_allclose(*losses, rtol=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(0, 3))
def test_drawn_levels_are_uniform_over_their_range(fewest, more):
    drawn = draw_levels(jax.random.key(fewest), 4000, fewest + more, fewest=fewest)
    counts = np.bincount(drawn, minlength=fewest + more + 1)
    assert counts[:fewest].sum() == 0
    assert_allclose(counts[fewest:] / 4000, 1 / (more + 1), atol=0.04)


def test_gumbel_trains_on_mixtures_and_reports_nearest_codes():
    x, books = problem()

    def run(books, temperature):
        options = {"estimator": "gumbel", "key": jax.random.key(1), "temperature": temperature}
        found = quantise(x, books, **options)
        return found.output.sum(), found

    grads, found = jax.jit(jax.grad(run, has_aux=True))(books, 1.0)
    assert_array_equal(found.codes[:, 0], nearest(x, books[0]))
    assert_allclose(found.output, found.vectors.sum(0), atol=1e-6)
    assert all((jnp.abs(g).sum(1) > 0).all() for g in grads)


def test_levels_may_assign_in_their_own_ways():
    x, books = problem()
    ways = [nearest, partial(nearest, cosine=True), nearest]
    found = quantise(x, books, assign=ways)
    assert_array_equal(found.codes[:, 1], nearest(found.inputs[1], books[1], cosine=True))


def test_squared_error_reduces_features_only():
    a, b = jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[0.0, 0.0], [3.0, 1.0]])
    assert_array_equal(squared_error(a, b, reduction="sum"), [5.0, 10.0])
    assert_array_equal(squared_error(a, b), [2.5, 5.0])


def test_it_compiles_once_and_keeps_the_dtype():
    x, books = problem()
    traces = []

    @jax.jit
    def run(x, books):
        traces.append(x)
        return quantise(x, books)

    chex.assert_trees_all_close(run(x, books), quantise(x, books), atol=1e-6)
    run(2 * x, books)
    assert len(traces) == 1
    assert quantise(x.astype(jnp.bfloat16), books).output.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("plain", "rotation", "whole", None), "residual = 'plain'"),
        (("raw", "ste", "whole", None), "estimator = 'ste'"),
        (("raw", "rotation", "sum", None), "output = 'sum'"),
        (("raw", "gumbel", "whole", None), "pass key="),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        quantize._check(*options)


def test_bad_sizes():
    with pytest.raises(ValueError, match="0 codebooks"):
        quantise(X, [])
    with pytest.raises(ValueError, match="2 codebooks and 1 ways"):
        quantise(X, [C1, C2], assign=[nearest])
    with pytest.raises(ValueError, match="reduction 'max'"):
        quantize._reduce(X, "max", 0)
    with pytest.raises(ValueError, match=r"fewest = 4 must lie in \[1, 3\]"):
        draw_levels(jax.random.key(0), 5, 3, fewest=4)
