"""Products over a sampling pattern against plain indexing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.graphs import gathered
from mmjax.blocks.graphs.gathered import gather_dot, gather_rows, gather_sum, pattern

# Few shapes, many seeds: a new shape is compiled anew.
SHAPES = [(1, 1, 1), (8, 5, 6), (5, 0, 3), (3, 4, 1)]
sizes = st.tuples(st.sampled_from(SHAPES), st.integers(0, 99)).map(lambda t: (*t[0], t[1]))
few = settings(max_examples=12)


def _draw(size):
    n, s, i, seed = size
    k = jax.random.split(jax.random.key(seed), 4)
    index = jax.random.randint(k[0], (n, s), 0, i)
    return (
        index,
        jax.random.normal(k[1], (n, s)),
        jax.random.normal(k[2], (i, 3)),
        jax.random.normal(k[3], (n, 3)),
    )


def _readers(p, size):
    """(table row, slot) pairs that the transposed pattern lists."""
    pairs = []
    for t in p.readers:
        start, slot = np.asarray(t.start), np.asarray(t.slot)
        pairs += [(j, x) for j in range(size) for x in slot[start[j] : start[j + 1]]]
    return sorted(pairs)


@few
@given(sizes)
def test_pattern_lists_every_read_once(size):
    index = _draw(size)[0]
    expected = sorted((int(j), k) for k, j in enumerate(np.asarray(index).ravel()))
    assert _readers(pattern(index, size[2]), size[2]) == expected


def test_pattern_in_groups_and_by_argsort_is_the_same(monkeypatch):
    index = _draw((8, 5, 6, 1))[0]
    whole = _readers(pattern(index, 6), 6)
    for limit, groups in ((2 * 8 * 6 + 1, 3), (8 * 6, 1)):
        monkeypatch.setattr(gathered, "_UINT32", limit)
        p = pattern(index, 6)
        assert len(p.readers) == groups
        assert _readers(p, 6) == whole


@few
@given(sizes)
def test_values(size):
    index, w, table, rows = _draw(size)
    total, dots, read = _lean(index, w, table, rows)
    x = np.asarray(table)[np.asarray(index)]
    assert_allclose(total, np.einsum("ns,nsd->nd", w, x), rtol=1e-5, atol=1e-5)
    assert_allclose(dots, np.einsum("nd,nsd->ns", rows, x), rtol=1e-5, atol=1e-5)
    assert_array_equal(read, x)


@few
@given(sizes)
def test_gradients(size):
    got, want = _gradients(*_draw(size))
    chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-5)


@jax.jit
def _lean(index, w, table, rows):
    p = pattern(index, table.shape[0])
    return gather_sum(w, table, p), gather_dot(rows, table, p), gather_rows(table, p)


@jax.jit
def _gradients(index, w, table, rows):
    """Of the same sum by the products and by plain indexing."""

    def value(total, dots, read):
        return jnp.tanh(total).sum() + jnp.sin(dots).sum() + jnp.cos(read).sum()

    def plain(w, table, rows):
        x = table[index]
        return value(jnp.einsum("ns,nsd->nd", w, x), jnp.einsum("nd,nsd->ns", rows, x), x)

    def lean(w, table, rows):
        return value(*_lean(index, w, table, rows))

    return tuple(jax.grad(f, argnums=(0, 1, 2))(w, table, rows) for f in (lean, plain))


def test_no_scatter_in_the_gradient():
    index, w, table, rows = _draw((64, 4, 32, 0))

    def loss(w, table, rows):
        p = pattern(index, table.shape[0])
        return (gather_sum(w, table, p) ** 2).sum() + (gather_dot(rows, table, p) ** 2).sum()

    text = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(w, table, rows).compile().as_text()
    assert " scatter(" not in text


def test_second_derivatives_are_those_of_plain_indexing(getkey):
    index, weights, table, rows = _draw((8, 5, 6, 4))
    p = pattern(index, 6)

    def ours(w, t, r):
        return jnp.tanh(gather_dot(r, t, p)).sum() + jnp.square(gather_sum(w, t, p)).sum()

    def plain(w, t, r):
        read = t[index]
        dots = jnp.einsum("nd,nsd->ns", r, read)
        return jnp.tanh(dots).sum() + jnp.square(jnp.einsum("ns,nsd->nd", w, read)).sum()

    def of_gradient(f):
        norm = lambda *args: sum(  # noqa: E731
            jnp.square(g).sum() for g in jax.grad(f, argnums=(0, 1, 2))(*args)
        )
        return jax.jit(jax.grad(norm, argnums=(0, 1, 2)))(weights, table, rows)

    chex.assert_trees_all_close(of_gradient(ours), of_gradient(plain), rtol=1e-4, atol=1e-4)


def test_second_derivatives_scatter_nothing(getkey):
    index, _, table, rows = _draw((8, 5, 6, 4))
    p = pattern(index, 6)

    def norm(t):
        return jnp.square(jax.grad(lambda t: jnp.tanh(gather_dot(rows, t, p)).sum())(t)).sum()

    assert "stablehlo.scatter" not in jax.jit(jax.grad(norm)).lower(table).as_text()
