"""Batches of sequences: what an epoch holds, and what negatives are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.sequences import from_lists
from mmjax.training.sources.sequences import packed_source, windows_source

LISTS = [[0, 1, 2, 3, 4, 5], [6, 5, 4, 3], [1, 3, 5, 7, 0, 2, 4], [7, 6, 5, 4, 3]]
DATA = from_lists(LISTS, 8)
UNSEEN = negative_index(DATA.train_pairs(), 4, 8)


@jax.jit
def _epoch(source, key):
    plan = source.epoch(key)
    steps = range(source.steps_per_epoch)
    return [source.batch(plan, i, jax.random.fold_in(key, i)) for i in steps]


def _batches(source, seed=0):
    return jax.tree.map(np.asarray, _epoch(source, jax.random.key(seed)))


def _told(batches):
    """(user, history, target) of all rows that count."""
    return sorted(
        (int(u), tuple(h[h >= 0].tolist()), int(i))
        for b in batches
        for u, h, i, counts in zip(b["user"], b["history"], b["item"], b["where"], strict=True)
        if counts
    )


@pytest.mark.parametrize("bucket_by_length", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_an_epoch_has_every_prefix_once(batch_size, bucket_by_length):
    windows = DATA.prefixes()
    source = windows_source(DATA.items, windows, 5, batch_size, bucket_by_length=bucket_by_length)
    expected = sorted(
        (u, tuple(row[:k]), row[k]) for u, row in enumerate(LISTS) for k in range(1, len(row) - 2)
    )
    batches = _batches(source)
    assert _told(batches) == expected
    assert len(batches) == source.steps_per_epoch == -(-len(expected) // batch_size)
    assert all(b["history"].dtype == np.int32 for b in batches)


def test_long_histories_keep_their_latest_items_at_the_end_of_the_row():
    source = windows_source(DATA.items, DATA.windows("train"), 2, 4)
    (batch,) = _batches(source)
    rows = {int(u): h.tolist() for u, h in zip(batch["user"], batch["history"], strict=True)}
    assert rows == {0: [1, 2], 1: [-1, 6], 2: [5, 7], 3: [7, 6]}


def test_alike_rows_have_histories_of_neighbouring_lengths():
    source = windows_source(DATA.items, DATA.prefixes(), 3, 2, bucket_by_length=True)
    spans = set()
    for b in _batches(source):
        lengths = (b["history"] >= 0).sum(1)[b["where"]]
        spans.add((int(lengths.min()), int(lengths.max())))
    # 4 histories have one item, 3 two, 3 three or more, of which three are kept.
    assert spans == {(1, 1), (2, 2), (2, 3), (3, 3)}


@pytest.mark.parametrize("bucket_by_length", [False, True])
def test_rows_are_shuffled_anew(bucket_by_length):
    source = windows_source(DATA.items, DATA.prefixes(), 5, 3, bucket_by_length=bucket_by_length)
    one, two = _batches(source, 0), _batches(source, 1)
    assert _told(one) == _told(two)
    assert not all(np.array_equal(a["user"], b["user"]) for a, b in zip(one, two, strict=True))


def _pairs(batches):
    """(user, item, what follows) of all places that count."""
    found = []
    for b in batches:
        real = (b["window"] >= 0) & b["where"][:, None]
        found += zip(b["window"][real], b["item"][real], b["following"][real], strict=True)
    return sorted((int(u), int(a), int(z)) for u, a, z in found)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("length", [4, 6])
def test_packed_rows_hold_every_step_of_training_once(batch_size, length):
    source = packed_source(DATA.items, DATA.windows("train"), length, batch_size)
    expected = sorted(
        (u, row[k], row[k + 1]) for u, row in enumerate(LISTS) for k in range(len(row) - 3)
    )
    batches = _batches(source)
    assert _pairs(batches) == expected
    assert set(batches[0]) == {"item", "following", "window", "age", "where"}
    assert all(b["item"].shape[1] == length for b in batches)


def test_the_batch_size_counts_windows():
    windows = DATA.windows("train")
    per_row = len(windows.stop) / len(packed_source(DATA.items, windows, 5, 1).batch.args[0].window)
    assert per_row == 2
    source = packed_source(DATA.items, windows, 5, 2)
    assert _batches(source)[0]["item"].shape == (1, 5) and source.steps_per_epoch == 2


def test_negatives_are_uniform_over_what_the_user_has_not_in_training():
    windows = DATA.windows("train")
    source = packed_source(DATA.items, windows, 6, 100, n_negatives=400, unseen=UNSEEN)
    (batch,) = _batches(source)
    assert batch["negatives"].shape == (*batch["item"].shape, 400)
    assert batch["negatives"].dtype == np.int32
    for user, row in enumerate(LISTS):
        drawn = batch["negatives"][batch["window"] == user].ravel()
        count = np.bincount(drawn, minlength=8)
        unseen = np.setdiff1d(np.arange(8), row[:-2])
        assert set(drawn.tolist()) == set(unseen.tolist()), "held-out items may be drawn"
        assert np.abs(count[unseen] / len(drawn) - 1 / len(unseen)).max() < 0.05


def test_negatives_differ_between_steps_and_not_between_runs():
    source = packed_source(DATA.items, DATA.windows("train"), 6, 1, n_negatives=9, unseen=UNSEEN)
    one, again = _batches(source), _batches(source)
    for a, b in zip(one, again, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not np.array_equal(one[0]["negatives"], one[1]["negatives"])


@pytest.mark.parametrize("make", [windows_source, packed_source])
@pytest.mark.parametrize(("length", "batch_size"), [(0, 2), (2, 0)])
def test_sizes_that_cannot_be(make, length, batch_size):
    with pytest.raises(ValueError, match=f"length {length}, batch_size {batch_size}; give at"):
        make(DATA.items, DATA.windows("train"), length, batch_size)
    none = from_lists([[1]], 2)
    with pytest.raises(ValueError, match="0 windows"):
        make(none.items, none.windows("train"), 2, 2)


def test_negatives_need_an_index():
    with pytest.raises(ValueError, match="n_negatives 1; give 0 or more, and an index"):
        packed_source(DATA.items, DATA.windows("train"), 3, 2, n_negatives=1)


def test_what_is_kept_on_the_device():
    windows = DATA.windows("train")
    leaves = jax.tree.leaves(packed_source(DATA.items, windows, 5, 2))
    assert all(x.dtype == jnp.int32 for x in leaves)
    # Items, two ends and the user of each window, and two numbers a place.
    assert sum(x.size for x in leaves) == len(DATA.items) + 3 * 4 + 2 * 2 * 5
