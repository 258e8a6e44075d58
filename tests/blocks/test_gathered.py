"""Products over a sampling pattern against plain indexing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks import gathered
from mmjax.blocks.gathered import gather_dot, gather_rows, gather_sum, pattern

# Few shapes, many seeds: a new shape is compiled anew.
SHAPES = [(1, 1, 1), (8, 5, 6), (5, 0, 3), (3, 4, 1)]
sizes = st.tuples(st.sampled_from(SHAPES), st.integers(0, 99)).map(lambda t: (*t[0], t[1]))


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


@given(sizes)
def test_values(size):
    index, w, table, rows = _draw(size)
    p = pattern(index, size[2])
    assert_allclose(
        gather_sum(w, table, p), jnp.einsum("ns,nsd->nd", w, table[index]), rtol=1e-5, atol=1e-5
    )
    assert_allclose(
        gather_dot(rows, table, p),
        jnp.einsum("nd,nsd->ns", rows, table[index]),
        rtol=1e-5,
        atol=1e-5,
    )
    assert_array_equal(gather_rows(table, p), table[index])


@given(sizes)
def test_gradients(size):
    index, w, table, rows = _draw(size)

    def lean(w, table, rows):
        p = pattern(index, table.shape[0])
        y = jnp.tanh(gather_sum(w, table, p)).sum() + jnp.sin(gather_dot(rows, table, p)).sum()
        return y + jnp.cos(gather_rows(table, p)).sum()

    def plain(w, table, rows):
        x = table[index]
        y = jnp.tanh(jnp.einsum("ns,nsd->nd", w, x)).sum()
        return y + jnp.sin(jnp.einsum("nd,nsd->ns", rows, x)).sum() + jnp.cos(x).sum()

    got = jax.grad(lean, argnums=(0, 1, 2))(w, table, rows)
    chex.assert_trees_all_close(
        got, jax.grad(plain, argnums=(0, 1, 2))(w, table, rows), rtol=1e-4, atol=1e-5
    )


def test_no_scatter_in_the_gradient():
    index, w, table, rows = _draw((64, 4, 32, 0))

    def loss(w, table, rows):
        p = pattern(index, table.shape[0])
        return (gather_sum(w, table, p) ** 2).sum() + (gather_dot(rows, table, p) ** 2).sum()

    text = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(w, table, rows).compile().as_text()
    assert " scatter(" not in text
