"""Tables of semantic ids: policies, growth, and the one file they live in."""

import zipfile

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mmjax.data import DataError
from mmjax.semantic_ids.policies import (
    append_index,
    append_popularity,
    collisions,
    next_nearest,
    random_free,
    share,
    sinkhorn_reassign,
)
from mmjax.semantic_ids.table import SidTable, arrays_sha256, expected_collisions, suggest_sizes

SIZE = 4
raw = st.tuples(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 3)).map(
    lambda drawn: np.random.default_rng(drawn[0]).integers(0, SIZE, drawn[1:])
)


def distinct(codes):
    return len(np.unique(codes, axis=0)) == len(codes)


def groups(codes):
    """Items by code, in a dictionary."""
    found = {}
    for item, code in enumerate(codes.tolist()):
        found.setdefault(tuple(code), []).append(item)
    return found


def table(codes=((0, 1), (2, 0), (0, 0)), policy="share", **more):
    return SidTable(np.array(codes), (3, 2), policy, np.array(["a", "b", "c"]), **more)


# ---- policies


def test_mmgrecs_example():
    codes = np.array([[1, 2, 3], [1, 2, 3], [4, 4, 4], [1, 2, 3]])
    found = append_popularity(codes, np.array([5, 9, 1, 7]), first=1)
    assert found[:, -1].tolist() == [3, 1, 1, 2]
    assert_array_equal(found[:, :-1], codes)


@given(raw, st.integers(0, 3))
def test_appended_tokens_tell_all_items_apart(codes, first):
    popularity = np.random.default_rng(len(codes)).integers(0, 4, len(codes)).astype(np.uint8)
    by_index, by_rank = (
        append_index(codes, first=first),
        append_popularity(codes, popularity, first=first),
    )
    for found in (by_index, by_rank):
        assert distinct(found)
        assert_array_equal(found[:, :-1], codes)
    for items in groups(codes).values():
        assert by_index[items, -1].tolist() == list(range(first, first + len(items)))
        ranked = sorted(items, key=lambda item: (-int(popularity[item]), item))
        assert by_rank[ranked, -1].tolist() == list(range(first, first + len(items)))


def test_items_all_alike_are_one_group():
    codes = append_index(np.zeros((50, 3), int))
    assert_array_equal(codes[:, -1], np.arange(50))


@given(raw)
def test_collisions_are_the_groups_of_several(codes):
    expected = [items for _, items in sorted(groups(codes).items()) if len(items) > 1]
    assert [group.tolist() for group in collisions(codes)] == expected


@given(raw)
def test_displaced_items_take_free_codes_of_their_prefix(codes):
    distances = np.random.default_rng(codes.shape[0]).random((len(codes), SIZE))
    for found in (next_nearest(codes, distances), random_free(codes, size=SIZE, seed=1)):
        assert_array_equal(found[:, :-1], codes[:, :-1])
        assert found.min() >= 0 and found.max() < SIZE
        for prefix, items in groups(codes[:, :-1]).items():
            last = found[items, -1]
            assert len(np.unique(last)) == min(len(items), SIZE), prefix
            assert set(codes[items, -1]) <= set(last)
        stays = [items[0] for items in groups(codes).values() if len(items) == 1]
        assert_array_equal(found[stays], codes[stays])
    assert_array_equal(share(codes), codes)


def test_the_nearest_keeps_its_code_and_the_others_go_to_the_nearest_free():
    codes = np.array([[7, 0], [7, 0], [7, 0], [7, 1], [8, 0]])
    distances = np.array(
        [
            [0.5, 0.6, 0.7, 0.8],
            [0.1, 0.2, 0.3, 0.4],
            [0.2, 0.3, 0.9, 0.4],
            [0.9, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0],
        ]
    )
    assert next_nearest(codes, distances)[:, -1].tolist() == [2, 0, 3, 1, 0]


def test_random_codes_repeat_with_their_seed():
    codes = np.zeros((20, 2), int)
    one, two, other = (random_free(codes, size=64, seed=seed) for seed in (3, 3, 4))
    assert_array_equal(one, two)
    assert (one != other).any()
    assert distinct(one) and one[0, -1] == 0


@given(raw)
def test_reassignment_goes_on_until_all_differ(codes):
    """An assignment that spreads a group over the codes, one step further in every round."""
    calls = []

    def assign(items):
        calls.append(items.tolist())
        return (codes[items, -1] + np.arange(len(items)) + len(calls)) % SIZE

    found = sinkhorn_reassign(codes, assign, rounds=5)
    assert_array_equal(found[:, :-1], codes[:, :-1])
    assert bool(calls) == (not distinct(codes))
    assert all(len(items) > 1 for items in calls)
    moved = {item for items in calls for item in items}
    stays = [item for item in range(len(codes)) if item not in moved]
    assert_array_equal(found[stays], codes[stays])


def test_reassignment_stops_as_soon_as_it_can_and_tolerates_the_rest():
    codes = np.array([[0, 0], [0, 0], [1, 1]])
    rounds = []
    found = sinkhorn_reassign(codes, lambda items: rounds.append(items) or np.arange(len(items)))
    assert len(rounds) == 1 and found.tolist() == [[0, 0], [0, 1], [1, 1]]
    rounds.clear()
    found = sinkhorn_reassign(codes, lambda items: rounds.append(items) or [2, 2], rounds=3)
    assert len(rounds) == 3 and found[:, -1].tolist() == [2, 2, 1]


def test_policies_refuse_what_does_not_fit():
    with pytest.raises(DataError, match=r"\(1,\) codes for \(2,\) items"):
        sinkhorn_reassign(np.zeros((2, 2), int), lambda items: np.zeros(1, int))
    with pytest.raises(DataError, match=r"last codes lie in 0\.\.3, but the last level has 2"):
        random_free(np.array([[0, 0], [0, 3]]), size=2, seed=0)


# ---- tables


def test_a_table_knows_its_collisions_and_cannot_be_changed():
    made = table([[0, 1], [0, 1], [0, 0]])
    assert made.collision_rate == pytest.approx(1 / 3)
    assert made.codes.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        made.codes[0, 0] = 2
    assert table().collision_rate == 0


@given(raw, st.integers(0, 1))
def test_new_items_take_the_next_free_token(codes, first):
    old = len(codes) // 2
    assume(old)
    whole, part = append_index(codes, first=first), append_index(codes[:old], first=first)
    sizes = (SIZE,) * codes.shape[1]
    before = SidTable(part, (*sizes, int(part[:, -1].max()) + 1), "append_index", np.arange(old))
    after = before.with_items(codes[old:], np.arange(old, len(codes)))
    assert_array_equal(after.codes, whole)
    assert after.sizes == (*sizes, int(whole[:, -1].max()) + 1)
    assert_array_equal(after.item_ids, np.arange(len(codes)))
    assert len(before.codes) == old
    shared = SidTable(codes[:old], sizes, "share", np.arange(old))
    assert_array_equal(shared.with_items(codes[old:], np.arange(old, len(codes))).codes, codes)


def test_expected_collisions_and_sizes():
    assert expected_collisions(12_101, (256, 256, 256)) == pytest.approx(4.4, abs=0.05)
    assert expected_collisions(76_085, (128, 128, 128)) == pytest.approx(1380, abs=1)
    assert suggest_sizes(12_101) == (256, 256, 256)
    assert suggest_sizes(1_000_000) == (1024, 1024, 1024)
    assert suggest_sizes(5) == (4, 4, 4)
    assert suggest_sizes(1, length=2) == (2, 2)
    with pytest.raises(ValueError, match="must be positive"):
        suggest_sizes(0)


@given(st.integers(2, 10**7), st.integers(1, 6))
def test_suggested_sizes_are_the_smallest_that_do(n, length):
    sizes = suggest_sizes(n, length=length)
    assert len(sizes) == length and sizes[0] <= max(2, n)
    assert expected_collisions(n, sizes) < 1e-3 * n or 2 * sizes[0] > n
    if sizes[0] > 2:
        assert expected_collisions(n, [size // 2 for size in sizes]) >= 1e-3 * n


# ---- the file


@pytest.mark.parametrize("ids", [["x", "yy", "ü"], [7, 3, 2**40]])
def test_a_saved_table_comes_back(tmp_path, ids):
    features, quantiser = arrays_sha256(np.eye(3)), arrays_sha256(np.ones(2), np.zeros(1))
    made = SidTable(
        np.array([[0, 1], [2, 0], [0, 0]]),
        (3, 2),
        "append_index",
        np.array(ids),
        features,
        quantiser,
    )
    path = tmp_path / "new" / "sids.npz"
    made.save(path)
    found = SidTable.load(path, features=features, quantiser=quantiser)
    assert_array_equal(found.codes, made.codes)
    assert found.item_ids.tolist() == ids
    for name in ("sizes", "policy", "features", "quantiser"):
        assert getattr(found, name) == getattr(made, name)
    found.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.npz", "new"]


def test_hashes_tell_arrays_apart():
    arrays = (np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32), np.ones(2))
    hashes = [arrays_sha256(x) for x in arrays] + [arrays_sha256(*arrays[:2])]
    assert len(set(hashes)) == 5


def test_a_table_made_from_something_else_is_refused(tmp_path):
    path = tmp_path / "sids.npz"
    table(features="f" * 64).save(path)
    with pytest.raises(
        DataError, match=r"sids.npz: made from other features \(f{12} instead of g{12}\)"
    ):
        SidTable.load(path, features="g" * 64)
    with pytest.raises(DataError, match=r"other quantiser \(not kept instead of g"):
        SidTable.load(path, quantiser="g" * 64)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path):
    path = tmp_path / "sids.npz"
    table().save(path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"sids\.npz"):
            SidTable.load(path)


def test_a_changed_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "sids.npz"
    table().save(path)
    with np.load(path) as file:
        held = dict(file)
    np.savez(path, **{**held, "codes": held["codes"] + 1})
    with pytest.raises(DataError, match="does not fit its checksum"):
        SidTable.load(path)
    np.savez(path, codes=held["codes"])
    with pytest.raises(
        DataError, match="no array sid_table, sha256, item_ids, codebooks; it holds codes"
    ):
        SidTable.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="no array"):
        SidTable.load(path)
    with pytest.raises(FileNotFoundError):
        SidTable.load(tmp_path / "none.npz")


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mmjax.semantic_ids.table._FORMAT", 99)
    table().save(tmp_path / "sids.npz")
    monkeypatch.undo()
    with pytest.raises(DataError, match="another version of mmjax"):
        SidTable.load(tmp_path / "sids.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.zeros((3, 2))}, r"codes are float64\[3, 2\]"),
        ({"codes": np.zeros((0, 2), int)}, r"codes are int64\[0, 2\]"),
        (
            {"codes": np.array([[0, 0], [0, 2], [0, 0]])},
            r"row 1: \[0, 2\] has 2 at level 2, outside 0..1.*\(3, 2\)",
        ),
        ({"codes": np.array([[0, 0], [0, 1], [-1, 0]])}, r"row 2: \[-1, 0\]"),
        ({"sizes": (3,)}, "1 sizes for codes of 2 levels"),
        ({"policy": "hope"}, "append_index, .*, got 'hope'"),
        ({"item_ids": np.array(["a", "b"])}, r"<U1\[2\].*each of 3 items"),
        ({"item_ids": np.array([1.0, 2.0, 3.0])}, "float64"),
        ({"item_ids": np.array(["a", "b", "b"])}, "raw id b stands for several items"),
    ],
)
def test_bad_tables_are_refused(change, message):
    fields = {**vars(table()), **change}
    with pytest.raises(DataError, match=message):
        SidTable(**fields)


@pytest.mark.parametrize(
    ("codes", "item_ids", "message"),
    [
        ([[0, 1]], ["d"], r"shape \[1, 2\]; the quantiser of this table has 1 levels"),
        ([[3]], ["d"], r"\[3, 0\] has 3 at level 1, outside 0..2"),
        ([[0]], ["a"], "raw id a stands"),
        ([[0]], [4], "new item_ids are int64, the table's <U1"),
        ([[0]], ["d", "e"], "each of 4 items"),
    ],
)
def test_bad_new_items_are_refused(codes, item_ids, message):
    with pytest.raises(DataError, match=message):
        table(policy="append_index").with_items(np.array(codes), item_ids)
