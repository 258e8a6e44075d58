"""Users' items in order: windows, prefixes, rows of one length, and the way to pairs and back."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import validate
from mmjax.data.core.sequences import from_interactions, from_lists, validate_sequences
from mmjax.data.formats.ratings import load_sequences_csv
from mmjax.data.synthetic.interactions import chains

LISTS = [[4, 1, 2, 0, 3], [2, 3, 1], [0, 4], [3], []]
N_ITEMS = 5

lists = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=8), min_size=1, max_size=6).filter(
    lambda found: any(found)
)


@pytest.fixture
def data():
    return from_lists(LISTS, N_ITEMS, titles=np.array(list("abcde")))


def told(data, windows):
    """Windows as (user, history, target)."""
    return [
        (int(u), data.items[a:b].tolist(), int(data.items[b]))
        for u, a, b in zip(*windows, strict=True)
    ]


def test_the_windows_of_a_small_set_by_hand(data):
    assert told(data, data.windows("test")) == [(0, [4, 1, 2, 0], 3), (1, [2, 3], 1), (2, [0], 4)]
    assert told(data, data.windows("valid")) == [(0, [4, 1, 2], 0), (1, [2], 3)]
    assert told(data, data.windows("train")) == [(0, [4, 1], 2)]
    assert told(data, data.prefixes()) == [(0, [4], 1), (0, [4, 1], 2)]
    assert told(data, data.windows("test", 2)) == [(0, [2, 0], 3), (1, [2, 3], 1), (2, [0], 4)]
    assert_array_equal(data.targets(data.windows("valid")), [0, 3])


def test_histories_have_a_row_for_every_user(data):
    user, start, stop = data.histories("test")
    assert_array_equal(user, np.arange(5))
    found = [data.items[a:b].tolist() for a, b in zip(start, stop, strict=True)]
    assert found == [[4, 1, 2, 0], [2, 3], [0], [3], []]
    _, start, stop = data.histories("valid", 2)
    found = [data.items[a:b].tolist() for a, b in zip(start, stop, strict=True)]
    assert found == [[1, 2], [2], [0], [3], []]


def test_pairs_of_training_of_histories_and_of_targets(data):
    assert data.train_pairs().tolist() == [[0, 4], [0, 1], [0, 2], [1, 2], [2, 0], [3, 3]]
    assert data.held_out("valid").tolist() == [[0, 0], [1, 3]]
    assert data.held_out("test").tolist() == [[0, 3], [1, 1], [2, 4]]
    assert data.excluded("valid").tolist() == data.train_pairs().tolist()
    first, *others = data.excluded("test").tolist()[3:]
    assert first == [0, 0] and others == [[1, 2], [1, 3], [2, 0], [3, 3]]


@pytest.mark.parametrize("align", ["right", "left"])
def test_rows_of_one_length_by_hand(data, align):
    items, where, target = data.padded(data.windows("test"), 3, align=align)
    rows = {"right": [[1, 2, 0], [0, 2, 3], [0, 0, 0]], "left": [[1, 2, 0], [2, 3, 0], [0, 0, 0]]}
    real = {"right": [[1, 1, 1], [0, 1, 1], [0, 0, 1]], "left": [[1, 1, 1], [1, 1, 0], [1, 0, 0]]}
    assert items.tolist() == rows[align] and where.astype(int).tolist() == real[align]
    assert target.tolist() == [3, 1, 4]
    assert items.dtype == np.int32


@given(lists, st.integers(1, 6), st.sampled_from(["train", "valid", "test"]))
def test_windows_are_what_a_loop_over_users_finds(found, most, split):
    data = from_lists(found, N_ITEMS)
    expected = []
    for user, items in enumerate(found):
        n = len(items)
        place = {"train": n - 1 - (n > 2) - (n > 1), "valid": n - 2, "test": n - 1}[split]
        least = {"train": 4, "valid": 3, "test": 2}[split]
        if n >= least:
            expected.append((user, items[max(0, place - most) : place], items[place]))
    assert told(data, data.windows(split, most)) == expected
    padded = data.padded(data.windows(split), most)
    rows = [row[real].tolist() for row, real in zip(padded.items, padded.where, strict=True)]
    assert rows == [history for _, history, _ in expected]
    assert padded.target.tolist() == [target for *_, target in expected]


@given(lists)
def test_prefixes_are_the_beginnings_of_the_train_items(found):
    data = from_lists(found, N_ITEMS)
    expected = []
    for user, items in enumerate(found):
        train = items[: len(items) - (len(items) > 2) - (len(items) > 1)]
        expected += [(user, train[:k], train[k]) for k in range(1, len(train))]
    assert told(data, data.prefixes()) == expected
    assert len(data.prefixes(3).user) == len(expected)
    assert all(len(h) <= 3 for _, h, _ in told(data, data.prefixes(3)))
    held = {tuple(row) for split in ("valid", "test") for row in data.held_out(split)}
    places = {(int(u), int(b)) for u, _, b in zip(*data.prefixes(), strict=True)}
    for split in ("valid", "test"):
        windows = data.windows(split)
        assert not places & set(zip(windows.user.tolist(), windows.stop.tolist(), strict=True))
    assert held <= {(u, i) for u, row in enumerate(found) for i in row}


@given(lists)
def test_the_way_to_pairs_and_back(found):
    once = [list(dict.fromkeys(items)) for items in found]
    pairs = from_lists(found, N_ITEMS).to_interactions()
    validate(pairs)
    assert pairs.split == "leave-one-out"
    back = from_interactions(pairs)
    assert [back.of_user(u).tolist() for u in range(len(once))] == once
    assert back.digest == from_lists(once, N_ITEMS).digest


def test_the_columns_of_the_items_go_along(data):
    pairs = data.to_interactions()
    assert pairs.titles.tolist() == list("abcde") and pairs.name == "sequences"
    assert from_interactions(pairs).item_title(2) == "c"
    assert "5 users, 5 items, 11 interactions, features: none" in repr(data)


def test_only_the_latest_items_are_kept(data):
    short = validate_sequences(data.latest(2))
    assert [short.of_user(u).tolist() for u in range(5)] == [[0, 3], [3, 1], [0, 4], [3], []]
    assert data.latest(9).digest == data.digest


def test_nothing_can_be_written_to(data):
    for array in (data.items, data.offsets, data.titles):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_the_digest_is_that_of_the_content(data):
    other = from_lists([[4, 1, 2, 3, 0], *LISTS[1:]], N_ITEMS, titles=data.titles)
    cut = dataclasses.replace(data, offsets=np.array([0, 4, 8, 10, 11, 11]))
    assert len({data.digest, other.digest, validate_sequences(cut).digest}) == 3
    assert dataclasses.replace(data, name="else").digest == data.digest


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"items": np.zeros(11, np.int64)}, r"items: int64\[11\]; give a flat int32 array"),
        ({"offsets": np.zeros(6, np.int32)}, r"offsets: int32\[6\]; give a flat int64"),
        ({"offsets": np.array([0, 11])}, "offsets: 2 entries for 5 users; give one more"),
        ({"offsets": np.array([0, 5, 8, 10, 11, 12])}, "rise from 0 to the number of items, 11"),
        ({"offsets": np.array([0, 8, 5, 10, 11, 11])}, "found 0 to 11, not rising"),
        ({"n_items": 4}, r"items, row 0: item id 4 is out of range \(0..3\)"),
        ({"items": np.zeros(0, np.int32), "offsets": np.zeros(6, np.int64)}, "nobody has an item"),
        ({"titles": np.array(list("abcd"))}, "titles: 4 entries, expected 5"),
    ],
)
def test_bad_content_is_named(data, changes, says):
    with pytest.raises(DataError, match=says):
        validate_sequences(dataclasses.replace(data, **changes))


def test_what_cannot_be_asked_for(data):
    for call in (
        lambda: data.windows("all"),
        lambda: data.histories("all"),
        lambda: data.windows("test", 0),
        lambda: data.prefixes(0),
        lambda: data.held_out("train"),
        lambda: data.excluded("train"),
        lambda: data.latest(0),
        lambda: data.padded(data.windows("test"), 0),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(DataError, match="item id 9 is out of range"):
        from_lists([[9]], N_ITEMS)


def test_pairs_of_another_split_are_no_sequences(tiny):
    with pytest.raises(DataError, match="split 'mmrec' is not by time"):
        from_interactions(tiny)
    twice = dataclasses.replace(
        tiny, split="leave-one-out", test=np.array([[0, 3], [0, 4]], np.int32)
    )
    with pytest.raises(DataError, match="tiny, test: user 0 has 2 rows"):
        from_interactions(twice)


CSV = """user,item,timestamp
b,x,5
a,x,3
a,y,1
a,x,4
b,z,2
a,z,4
b,x,9
c,,1
"""


def test_sequences_from_a_table(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    data = load_sequences_csv(path, k_core=0)
    assert data.user_ids.tolist() == ["b", "a"] and data.item_ids.tolist() == ["x", "y", "z"]
    named = [[data.item_id(i) for i in data.of_user(u).tolist()] for u in range(2)]
    assert named == [["z", "x"], ["y", "x", "z"]]
    again = load_sequences_csv(path, k_core=0, repeats=True)
    named = [[again.item_id(i) for i in again.of_user(u).tolist()] for u in range(2)]
    assert named == [["z", "x", "x"], ["y", "x", "x", "z"]]
    with pytest.raises(DataError, match="no column when"):
        load_sequences_csv(path, timestamp="when")


def test_in_chains_only_the_last_item_tells_the_next_one():
    data = chains(n_users=3000)
    validate_sequences(data)
    cluster = data.attributes["cluster"].labels
    windows = data.windows("test")
    now, then = cluster[data.items[windows.stop - 1]], cluster[data.items[windows.stop]]
    follows = (then - now) % 6 == 1
    assert abs(follows.mean() - (0.9 + 0.1 / 6)) < 0.02
    counts = np.bincount(then, minlength=6)
    assert counts.max() < 1.2 * counts.mean()
    assert data.digest == chains(n_users=3000).digest != chains(1, n_users=3000).digest
    assert data.lengths.min() == 5 and data.lengths.max() == 14
    with pytest.raises(ValueError, match="chains: 10 items in 3 clusters"):
        chains(n_items=10, n_clusters=3)
