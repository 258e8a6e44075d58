"""Raw ratings: cleaning, k-core, numbering, against plain loops."""

import gzip
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS
from mmjax.data.formats.events import k_core_mask
from mmjax.data.formats.ratings import load_ratings_csv


def all_pairs(data):
    """The (raw user, raw item) pairs of all splits."""
    pairs = np.concatenate([data.pairs(split) for split in SPLITS])
    return sorted(zip(data.user_ids[pairs[:, 0]], data.item_ids[pairs[:, 1]], strict=True))


def test_cleaning_by_hand(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text(
        "who,what,stars,when\n"
        "u2,i9,5,100\n"
        "u1,i9,4,90\n"
        "u1,i9,4,90\n"  # repeated
        "u1,i7,,80\n"  # no rating
        "u1,i8,3,\n"  # no time
        ",i8,3,70\n"  # no user
        "u1,,3,70\n"  # no item
        "u2,i8,nan,60\n"  # no rating
        "u2,i7,2,50\n"
        "u1,i7,1,40\n"
        "u1,i9,5,10\n"  # met before the first one above
    )
    options = {"user": "who", "item": "what", "k_core": 2, "split": "leave-one-out"}
    data = load_ratings_csv(path, rating="stars", timestamp="when", **options)
    assert (data.name, data.split) == ("clicks", "leave-one-out")
    assert data.user_ids.tolist() == ["u2", "u1"], "in the order of first appearance"
    assert data.item_ids.tolist() == ["i9", "i7"]
    # u1 met i9 at 10 and i7 at 40; u2 met i7 at 50 and i9 at 100.
    assert data.test.tolist() == [[0, 0], [1, 1]]
    assert data.train.tolist() == [[0, 1], [1, 0]]
    high = load_ratings_csv(
        path, user="who", item="what", rating="stars", min_rating=3.0, k_core=1, name="high"
    )
    assert (high.name, high.split) == ("high", "mmrec@0")
    assert all_pairs(high) == [("u1", "i8"), ("u1", "i9"), ("u2", "i9")]


def test_no_header_another_delimiter_and_an_archive(tmp_path):
    path = tmp_path / "u.data.gz"
    path.write_bytes(gzip.compress(b"1::7\n1::8\n2::7\n2::8\n".replace(b"::", b"\t")))
    data = load_ratings_csv(path, user="u", item="i", columns=["u", "i"], delimiter="\t", k_core=2)
    assert all_pairs(data) == [("1", "7"), ("1", "8"), ("2", "7"), ("2", "8")]
    assert data.name == "u"


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=80, unique=True),
    st.integers(0, 4),
)
def test_the_k_core_is_the_largest(pairs, k):
    array = np.array(pairs, np.int64).reshape(-1, 2)
    kept = k_core_mask(array[:, 0], array[:, 1], k)
    core = [tuple(pair) for pair in array[kept].tolist()]
    rest = list(pairs)
    while True:
        users, items = Counter(u for u, _ in rest), Counter(i for _, i in rest)
        smaller = [(u, i) for u, i in rest if users[u] >= k and items[i] >= k]
        if len(smaller) == len(rest):
            break
        rest = smaller
    assert core == rest


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60
    ),
    st.integers(1, 3),
)
def test_against_plain_loops(tmp_path_factory, rows, k):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"u{u},i{i},{t}\n" for u, i, t in rows))
    earliest = {}
    for u, i, t in rows:
        earliest[u, i] = min(t, earliest.get((u, i), t))
    rest = set(earliest)
    while True:
        users, items = Counter(u for u, _ in rest), Counter(i for _, i in rest)
        smaller = {(u, i) for u, i in rest if users[u] >= k and items[i] >= k}
        if smaller == rest:
            break
        rest = smaller
    if not rest:
        with pytest.raises(DataError, match="choose a smaller k_core"):
            load_ratings_csv(path, timestamp="timestamp", k_core=k)
        return
    data = load_ratings_csv(path, timestamp="timestamp", k_core=k, split="leave-one-out")
    assert all_pairs(data) == sorted((f"u{u}", f"i{i}") for u, i in rest)
    for user in range(data.n_users):
        mine = {
            split: [
                earliest[int(data.user_ids[user][1:]), int(data.item_ids[i][1:])]
                for u, i in data.pairs(split).tolist()
                if u == user
            ]
            for split in SPLITS
        }
        assert max(mine["train"]) <= min(mine["valid"] + mine["test"], default=9)


def test_seeds_and_splits_are_passed_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("user,item\n" + "".join(f"{u},{i}\n" for u in range(9) for i in range(9)))
    one, same, other = (load_ratings_csv(path, seed=seed) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest
    assert load_ratings_csv(path, split="random-1:1:1").split == "random-1:1:1@0"


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (b"", {}, "the file is empty"),
        (b"a,b\n1,2\n", {}, "no column user, item; found a, b; name the columns"),
        (b"user;item\n1;2\n", {}, "found user;item"),
        (b"user,item\n", {}, "no rows"),
        (b"user,item\n1,2\n", {}, "none of 1 rows is left.*5-core"),
        (b"user,item\n1,2\n1", {}, "Row #3: Expected 2 columns, got 1"),
        (b"user,item,r\n1,2,good\n", {"rating": "r"}, "Row #2.*'good'"),
        (b"user,item\n1,2\xff\n", {}, "not UTF-8"),
        (b"user,item\n,\n,\n", {"k_core": 0}, "none of 2 rows is left"),
    ],
)
def test_bad_files_are_named(tmp_path, content, options, says):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        load_ratings_csv(path, **options)
    assert str(path) in str(caught.value)


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="needs the name of the rating column"):
        load_ratings_csv(tmp_path / "a.csv", min_rating=3.0)
    with pytest.raises(FileNotFoundError):
        load_ratings_csv(tmp_path / "a.csv")
