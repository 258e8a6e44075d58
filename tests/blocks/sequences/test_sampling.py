"""Batches cover an epoch exactly; negatives are exactly uniform over what a user has not met."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmjax.blocks.common.segmented_search import count_at_most
from mmjax.blocks.sequences import sampling


@pytest.mark.parametrize("n, batch_size", [(1, 1), (1, 5), (6, 3), (7, 3), (8, 3), (5, 5), (5, 60)])
def test_an_epoch_holds_every_index_once(n, batch_size, getkey):
    for _ in range(5):
        index, where = sampling.epoch_batches(getkey(), n, batch_size)
        assert index.shape == where.shape == (-(-n // batch_size), batch_size)
        assert index.dtype == jnp.int32 and where.dtype == jnp.bool_
        np.testing.assert_array_equal(np.sort(index[where]), np.arange(n))
        assert ((0 <= index) & (index < n)).all()
        assert where.ravel()[:n].all(), "only the end of the last batch is padding"


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=40), batch_size=st.integers(1, 9))
def test_batches_of_like_length_hold_every_index_once(lengths, batch_size):
    n, lengths = len(lengths), np.array(lengths)
    index, where = map(
        np.asarray, sampling.bucket_by_length(jax.random.key(n), jnp.asarray(lengths), batch_size)
    )
    assert index.shape == where.shape == (-(-n // batch_size), batch_size)
    np.testing.assert_array_equal(np.sort(index[where]), np.arange(n))
    real = [lengths[i[w]] for i, w in zip(index, where, strict=True)]
    spans = sorted((x.min(), x.max()) for x in real)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_batches_of_like_length_are_shuffled_and_so_are_their_rows(getkey):
    lengths = jnp.repeat(jnp.arange(1, 6), 100)
    one, two = (sampling.bucket_by_length(getkey(), lengths, 20)[0] for _ in range(2))
    firsts = np.asarray(lengths)[np.asarray(one)[:, 0]]
    assert abs(np.corrcoef(firsts, np.arange(25))[0, 1]) < 0.7
    assert len({frozenset(row) for row in np.asarray(jnp.concatenate([one, two])).tolist()}) == 50


def test_epochs_are_reproducible_and_differ(getkey):
    key, other = getkey(), getkey()
    first = sampling.epoch_batches(key, 1000, 64)[0]
    again = jax.jit(sampling.epoch_batches, static_argnums=(1, 2))(jax.random.clone(key), 1000, 64)
    np.testing.assert_array_equal(first, again[0])
    assert (first != sampling.epoch_batches(other, 1000, 64)[0]).mean() > 0.9


def test_every_order_of_an_epoch_is_equally_likely(getkey):
    keys = jax.random.split(getkey(), 24_000)
    orders = jax.vmap(lambda key: sampling.epoch_batches(key, 4, 4)[0][0])(keys)
    counts = np.unique(np.asarray(orders) @ [1000, 100, 10, 1], return_counts=True)[1]
    assert len(counts) == 24 and stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("n", [1, 2, 1000, 70_000, 2**21 + 1])
def test_permutations_are_permutations(n, getkey):
    order = jax.jit(sampling.permutation, static_argnums=1)(getkey(), n)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    if n > 2:
        assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 5 / n**0.5


@pytest.mark.parametrize("n, batch_size", [(0, 4), (4, 0)])
def test_empty_epochs_are_refused(n, batch_size, getkey):
    with pytest.raises(ValueError, match="must be 1 or more"):
        sampling.epoch_batches(getkey(), n, batch_size)


def test_uniform_negatives_are_uniform(getkey):
    draws = sampling.uniform_negatives(getkey(), (1000, 20), 7)
    assert draws.shape == (1000, 20) and draws.dtype == jnp.int32
    assert stats.chisquare(np.bincount(draws.ravel(), minlength=7)).pvalue > 1e-3


@given(st.lists(st.lists(st.integers(0, 7), max_size=9), min_size=5, max_size=5))
def test_search_counts_in_every_segment(segments):
    segments = [np.sort(np.array(s, np.int32)) for s in segments]
    start = np.cumsum([0, *map(len, segments)])
    entries = np.full(46, 3, np.int32)
    entries[: start[-1]] = np.concatenate(segments)
    queries = np.arange(-1, 9)
    grids = np.broadcast_arrays(start[:-1, None], start[1:, None], queries[None, :])
    got = _count(jnp.asarray(entries), *map(jnp.asarray, grids), longest=9)
    expected = [np.searchsorted(s, queries, side="right") for s in segments]
    np.testing.assert_array_equal(got, expected)


_count = jax.jit(count_at_most, static_argnames="longest")


@given(
    seen=st.lists(st.lists(st.integers(0, 7), max_size=7), min_size=4, max_size=4),
    pool=st.sampled_from(["all", "train"]),
)
def test_ranks_enumerate_exactly_the_unseen_items(seen, pool):
    pairs = [(user, item) for user, items in enumerate(seen) for item in items]
    # Two items that the first four users cannot have: nobody covers the pool of train items.
    pairs += [(4, 8), (4, 8), (5, 9)]
    index = sampling.negative_index(np.array(pairs), 6, 11, pool)
    assert index.longest <= 8
    # Of one shape in every example, so that it compiles seldom.
    gaps = jnp.pad(index.gaps, (0, 40 - len(index.gaps)))
    index = dataclasses.replace(index, gaps=gaps, longest=8)
    items = set(range(11)) if pool == "all" else {item for _, item in pairs}
    ranks = jnp.broadcast_to(jnp.arange(11)[None, :], (6, 11))
    users = jnp.broadcast_to(jnp.arange(6)[:, None], (6, 11))
    got = np.asarray(_nth_unseen(index, users, ranks))
    for user in range(6):
        unseen = sorted(items - {item for u, item in pairs if u == user})
        assert int(sampling.unseen_count(index, jnp.arange(6))[user]) == len(unseen)
        np.testing.assert_array_equal(got[user, : len(unseen)], unseen)


_nth_unseen = jax.jit(sampling.nth_unseen)


@pytest.mark.parametrize("pool", ["all", "train"])
def test_unseen_negatives_are_uniform_over_the_complement(pool, getkey):
    rng = np.random.default_rng(0)
    pairs = np.unique(np.stack([rng.integers(0, 4, 24), rng.integers(0, 12, 24) * 2], 1), axis=0)
    n_items = 25
    index = sampling.negative_index(pairs, 5, n_items, pool)
    items = set(range(n_items)) if pool == "all" else set(pairs[:, 1].tolist())
    users = jnp.repeat(jnp.arange(5), 400)
    draw = jax.jit(sampling.unseen_negatives, static_argnames="n")
    draws = np.asarray(draw(getkey(), users, index, n=50)).reshape(5, -1)
    assert draws.dtype == np.int32
    for user in range(5):
        unseen = sorted(items - set(pairs[pairs[:, 0] == user, 1].tolist()))
        values, counts = np.unique(draws[user], return_counts=True)
        assert set(values.tolist()) == set(unseen)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_drawing_works_per_seed_under_vmap():
    index = sampling.negative_index(np.array([[0, 0], [1, 1]]), 2, 4)
    users = jnp.array([0, 1, 1])
    keys, again = (jax.random.split(jax.random.key(3), 6) for _ in range(2))
    batched = jax.vmap(lambda key: sampling.unseen_negatives(key, users, index, 3))(keys)
    one = sampling.unseen_negatives(again[2], users, index, 3)
    np.testing.assert_array_equal(batched[2], one)


def test_nothing_left_to_draw_is_an_error_at_build_time():
    pairs = np.array([[0, 0], [1, 0], [1, 2], [1, 0]])
    sampling.negative_index(pairs, 2, 3)
    with pytest.raises(ValueError, match="user 1, have every item of the pool"):
        sampling.negative_index(pairs, 2, 3, "train")
    with pytest.raises(ValueError, match="pool is empty"):
        sampling.negative_index(pairs[:0], 2, 3, "train")
    with pytest.raises(ValueError, match="choose 'all' or 'train'"):
        sampling.negative_index(pairs, 2, 3, "some")


@pytest.mark.parametrize("bad", [[2, 0], [0, 3], [-1, 0], [0, -1]])
def test_ids_out_of_range_are_named(bad):
    with pytest.raises(ValueError, match=f"row 1: user {bad[0]}, item {bad[1]}"):
        sampling.negative_index(np.array([[0, 0], bad]), 2, 3)


def test_every_set_of_distinct_unseen_items_is_equally_likely(getkey):
    """User 0 has 5 of 9 items left, so 10 pairs of them; user 1 has 2 left and gets both."""
    seen = [(0, i) for i in (1, 3, 4, 8)] + [(1, i) for i in range(9) if i not in (2, 6)]
    index = sampling.negative_index(np.array(seen), 2, 9)
    users = jnp.repeat(jnp.arange(2), 10_000)
    draws = np.sort(sampling.distinct_unseen(getkey(), users, index, 2), 1)
    counts = np.unique(draws[:10_000] @ [10, 1], return_counts=True)
    assert set(counts[0]) == {10 * a + b for a in (0, 2, 5, 6, 7) for b in (2, 5, 6, 7) if a < b}
    assert stats.chisquare(counts[1]).pvalue > 1e-3
    assert (draws[10_000:] == [2, 6]).all()


def test_distinct_draws_of_nothing_and_of_everything(getkey):
    index = sampling.negative_index(np.array([[0, 1]]), 1, 5)
    users = jnp.zeros(40, jnp.int32)
    assert sampling.distinct_unseen(getkey(), users, index, 0).shape == (40, 0)
    whole = np.sort(sampling.distinct_unseen(getkey(), users, index, 4), 1)
    assert (whole == [0, 2, 3, 4]).all()
