"""Named splits: their rules on numbers worked by hand, and what holds for any data."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, validate
from mmjax.data.core.splits import (
    follows_mmrec,
    meta_mmf_sizes,
    mmrec_sizes,
    partition,
    resplit,
    split_labels,
    split_name,
)

PER_USER = ["mmrec", "random-8:1:1", "random-1:1:1", "random-1:9:90", "leave-one-out"]


def table(user, labels):
    """Sizes of train, validation and test per user."""
    return [np.bincount(user[labels == k], minlength=user.max() + 1).tolist() for k in range(3)]


def test_the_rule_of_meta_mmf_by_hand():
    n = np.array([1, 2, 3, 5, 8, 10, 12, 13, 100])
    train, valid, test = meta_mmf_sizes(n)
    assert train.tolist() == [round(0.8 * k) for k in n.tolist()] == [1, 2, 2, 4, 6, 8, 10, 10, 80]
    assert test.tolist() == [0, 0, 1, 1, 1, 1, 1, 2, 10]
    assert valid.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 10]


def test_the_rule_of_mmrec_by_hand():
    n = np.array([1, 2, 3, 5, 9, 10, 14, 15, 19, 20, 25, 100])
    train, valid, test = mmrec_sizes(n)
    assert train.tolist() == [1, 1, 1, 3, 7, 8, 12, 12, 16, 16, 20, 80]
    assert valid.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 10]
    assert test.tolist() == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 10]


def test_leave_one_out_by_hand():
    user = np.array([0, 0, 0, 0, 1, 1, 2])
    time = np.array([4, 1, 3, 2, 9, 9, 5])
    assert split_labels("leave-one-out", user, time).tolist() == [2, 0, 1, 0, 0, 2, 0]


def test_global_time_by_hand():
    user = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    time = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert split_labels("global-time", user, time).tolist() == [2, 1] + [0] * 8
    assert split_labels("global-time-2:1:2", user, time).tolist() == [2] * 4 + [1] * 2 + [0] * 4
    # The four equal times stay together, in the earlier part.
    time = np.array([0, 1, 2, 3, 4, 5, 6, 6, 6, 6])
    assert split_labels("global-time", user, time).tolist() == [0] * 10


def test_ratios_by_hand():
    user = np.repeat(np.arange(5), [1, 2, 3, 10, 29])
    labels = split_labels("random-8:1:1", user)
    assert table(user, labels) == [[1, 1, 1, 8, 25], [0, 0, 1, 1, 2], [0, 1, 1, 1, 2]]
    labels = split_labels("random-9:0:1", user)
    assert table(user, labels) == [[1, 1, 2, 9, 27], [0, 0, 0, 0, 0], [0, 1, 1, 1, 2]]


users = st.lists(st.integers(0, 12), min_size=1, max_size=150).map(np.array)


@given(users, st.sampled_from(PER_USER), st.integers(0, 2**32), st.data())
def test_per_user_splits_cover_and_leave_something_to_train_on(user, name, seed, data):
    times = st.lists(st.integers(0, 9), min_size=len(user), max_size=len(user))
    labels = split_labels(name, user, np.array(data.draw(times)), seed=seed)
    train, valid, test = table(user, labels)
    count = np.bincount(user)
    assert (np.add(np.add(train, valid), test) == count).all()
    for user_, n in enumerate(count):
        if n:
            assert train[user_] >= 1
        if n >= 2:
            assert test[user_] >= 1
        if n >= 3:
            assert valid[user_] >= 1


@given(users, st.integers(0, 99))
def test_random_splits_depend_on_the_seed_alone(user, seed):
    labels = split_labels("mmrec", user, seed=seed)
    assert (labels == split_labels("mmrec", user, seed=seed)).all()
    sizes = np.array(table(user, labels))
    assert (
        sizes.T[np.bincount(user) > 0]
        == np.stack(mmrec_sizes(np.unique(user, return_counts=True)[1])).T
    ).all()


def test_seeds_differ_and_spread():
    user = np.repeat(np.arange(400), 20)
    labels = np.stack([split_labels("mmrec", user, seed=seed) for seed in range(40)])
    assert len({row.tobytes() for row in labels}) == 40
    # Every position is held out about as often: 4 of 20, over 400 users and 40 seeds.
    share = (labels > 0).reshape(40, 400, 20).mean(axis=(0, 1))
    assert np.abs(share - 0.2).max() < 0.02


@given(users, st.data())
def test_leave_one_out_trains_on_the_past(user, data):
    draw = st.lists(st.integers(0, 9), min_size=len(user), max_size=len(user))
    time = np.array(data.draw(draw))
    labels = split_labels("leave-one-out", user, time)
    for one in np.unique(user):
        mine, when = labels[user == one], time[user == one]
        order = np.lexsort((np.arange(len(mine)), when))
        assert (np.diff(mine[order]) >= 0).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60).map(np.array))
def test_global_time_never_trains_on_the_future(time):
    labels = split_labels("global-time", np.zeros(len(time), int), time)
    assert (labels == 0).any()
    for early in range(2):
        if (labels == early).any() and (labels > early).any():
            assert time[labels == early].max() < time[labels > early].min()


def test_what_a_split_cannot_do_is_said():
    user = np.zeros(3, int)
    for name in ("leave-one-out", "global-time"):
        with pytest.raises(DataError, match="no timestamps"):
            split_labels(name, user)
    with pytest.raises(ValueError, match="no split 'loo'; choose mmrec"):
        split_labels("loo", user)
    for name in ("random-8:1", "random-0:1:1", "random-a:b:c", "random-"):
        if name != "random-":
            with pytest.raises(ValueError, match="three whole numbers"):
                split_labels(name, user)


def test_random_splits_carry_their_seed_in_the_name():
    assert split_name("mmrec", 3) == "mmrec@3"
    assert split_name("random-8:1:1", 0) == "random-8:1:1@0"
    assert split_name("leave-one-out", 3) == "leave-one-out"


def test_partition_keeps_the_order():
    pairs = np.array([[0, 5], [0, 4], [1, 3], [1, 2]], np.int32)
    train, valid, test = partition(pairs, np.array([0, 2, 0, 1], np.int8))
    assert (train.tolist(), valid.tolist(), test.tolist()) == (
        [[0, 5], [1, 3]],
        [[1, 2]],
        [[0, 4]],
    )


def test_a_new_split_of_the_same_pairs(tiny):
    again = validate(resplit(tiny, "mmrec", seed=4))
    assert again.split == "mmrec@4"
    assert {tuple(p) for s in SPLITS for p in again.pairs(s).tolist()} == {
        tuple(p) for s in SPLITS for p in tiny.pairs(s).tolist()
    }
    turned = dataclasses.replace(tiny, train=tiny.test, test=tiny.train)
    assert resplit(turned, "mmrec", seed=4).digest == again.digest
    with pytest.raises(DataError, match="no timestamps"):
        resplit(tiny, "leave-one-out")


def test_the_rule_tells_validation_from_test():
    user = np.repeat(np.arange(30), 15)
    pairs = np.stack([user, np.tile(np.arange(15), 30)], 1).astype(np.int32)
    train, valid, test = partition(pairs, split_labels("mmrec", user))
    assert follows_mmrec(train, valid, test, 30)
    assert not follows_mmrec(train, test, valid, 30)
    assert not follows_mmrec(train[1:], valid, test, 30)
