"""Negatives that are drawn once for the whole run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.sequences.sampling import negative_index
from mmjax.training.sources.pairs import triples_source

PAIRS = np.array([[0, 0], [0, 1], [0, 2], [1, 3], [1, 0], [2, 4], [3, 5], [3, 1]], np.int32)
INDEX = negative_index(PAIRS, 4, 9)


@jax.jit
def _epoch(source, key):
    plan = source.epoch(key)
    return [
        source.batch(plan, i, jax.random.fold_in(key, i)) for i in range(source.steps_per_epoch)
    ]


def _rows(source, seed):
    """All rows of an epoch that count, as (user, item, negative)."""
    batches = _epoch(source, jax.random.key(seed))
    assert all(b["negatives"].shape == (len(b["user"]), 1) for b in batches)
    columns = [
        np.concatenate([np.asarray(b[name]).reshape(-1) for b in batches])
        for name in ("user", "item", "negatives", "where")
    ]
    assert all(c.dtype == np.int32 for c in columns[:3])
    return np.stack(columns[:3], 1)[columns[3]]


def test_every_epoch_has_the_same_triples_in_an_order_of_its_own():
    source = triples_source(PAIRS, 7, unseen=INDEX, n_negatives=3)
    assert source.steps_per_epoch == 4
    one, two = _rows(source, 0), _rows(source, 1)
    assert len(one) == 24 and not np.array_equal(one, two)
    np.testing.assert_array_equal(np.unique(one, axis=0), np.unique(two, axis=0))
    assert len(np.unique(one, axis=0)) == 24, "the negatives of a pair differ"
    pairs, counts = np.unique(one[:, :2], axis=0, return_counts=True)
    np.testing.assert_array_equal(pairs, np.unique(PAIRS, axis=0))
    assert (counts == 3).all()
    assert not {tuple(row) for row in one[:, ::2].tolist()} & {tuple(p) for p in PAIRS.tolist()}


def test_the_triples_belong_to_the_seed_of_the_source():
    one, again, other = (
        np.unique(_rows(triples_source(PAIRS, 50, unseen=INDEX, n_negatives=2, seed=s), 0), axis=0)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_batch_is_never_larger_than_the_data():
    source = triples_source(PAIRS, 1000, unseen=INDEX, n_negatives=2)
    assert source.steps_per_epoch == 1
    assert len(_rows(source, 0)) == 16


def test_what_is_kept_is_one_integer_a_triple():
    source = triples_source(PAIRS, 7, unseen=INDEX, n_negatives=3)
    leaves = jax.tree.leaves(source)
    assert all(x.dtype == jnp.int32 for x in leaves)
    assert sum(x.size for x in leaves) == PAIRS.size + 24


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"n_negatives": 0}, {"pairs": PAIRS[:0]}])
def test_sizes_that_cannot_be(bad):
    options = {"pairs": PAIRS, "batch_size": 4, **bad}
    with pytest.raises(ValueError, match="give at least one of each"):
        triples_source(options.pop("pairs"), options.pop("batch_size"), unseen=INDEX, **options)


def test_too_few_unseen_items_are_refused():
    with pytest.raises(ValueError, match="user 0 has 6 unseen items, fewer than n_negatives 7"):
        triples_source(PAIRS, 4, unseen=INDEX, n_negatives=7)
