"""Folders of the MMGCN family, and what a pickle must not get away with."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmjax.data import load_mmrec
from mmjax.data.core.checks import DataError
from mmjax.data.formats.mmgcn import convert, find_offset, main, modality_of, read_user_items
from mmjax.data.io.pickled import read_plain

USERS, ITEMS = 12, 40
RNG = np.random.default_rng(0)
LIKED = {u: set(RNG.permutation(ITEMS)[: 3 + u].tolist()) for u in range(USERS)}


def _plain(content, protocol=4):
    return read_plain(pickle.dumps(content, protocol), where="file")


def _folder(path, liked, **features):
    path.mkdir()
    np.save(path / "user_item_dict_sample.npy", liked, allow_pickle=True)
    for name, array in features.items():
        np.save(path / f"{name}.npy", array)
    return path


@pytest.fixture
def folder(tmp_path):
    v, a = RNG.normal(size=(ITEMS, 6)), RNG.normal(size=(ITEMS, 3)).astype(np.float32)
    return _folder(tmp_path / "toy set", LIKED, v_feat_sample=v, FeatureAudio_avg_normal=a)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        0,
        -(2**70),
        2.5,
        float("inf"),
        True,
        None,
        "é",
        b"\x00\xff",
        [],
        [1, [2, (3, 4, 5, 6)], ()],
        {1: {2}, "a": set(range(2000)), 2.0: []},
        {u: list(range(u)) for u in range(60)},
        np.int64(7),
        np.float32(1.5),
        {np.int64(3): [np.int32(4)]},
        {(0): {np.int64(5), np.int64(6)}},
    ],
)
def test_plain_values_come_back_at_every_protocol(value, protocol):
    got = _plain(value, protocol)
    assert got == value and type(got) in (type(value), int, float)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.int32).reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">i8"),
        np.zeros((0, 2), np.float16),
        np.array([True, False]),
    ],
)
def test_arrays_come_back_at_every_protocol(array, protocol):
    got = _plain({1: array, 2: [array]}, protocol)
    assert got[2][0] is got[1]
    assert got[1].dtype == array.dtype.newbyteorder("=")
    assert_array_equal(got[1], array)


class _Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


class _Own:
    """An object with attributes."""

    def __init__(self):
        self.x = 1


def _looped():
    loop = []
    loop.append(loop)
    return loop


def _deep():
    deep = []
    for _ in range(100):
        deep = [deep]
    return deep


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "make",
    [
        lambda mark: _Call(os.system, f"touch {mark}"),
        lambda mark: {0: {1}, 1: _Call(os.mkdir, str(mark))},
        lambda mark: [_Call(eval, f"open({str(mark)!r}, 'w')")],
        lambda mark: _Call(getattr, "a", "upper"),
        lambda mark: _Call(np.load, str(mark)),
        lambda mark: os.system,
        lambda mark: np.ndarray,
        lambda mark: {np.ndarray: 1},
        lambda mark: {0: _Own()},
        lambda mark: np.array([_Own()]),
        lambda mark: np.array([[{1}, {2}]]),
        lambda mark: np.zeros(2, [("a", "i4")]),
        lambda mark: np.datetime64("2020-01-01"),
        lambda mark: {(1, 2): 3},
        lambda mark: {1: {(1, 2)}},
        lambda mark: range(3),
        lambda mark: 1 + 2j,
        lambda mark: _looped(),
        lambda mark: _deep(),
    ],
)
def test_anything_else_is_refused_and_nothing_runs(make, protocol, tmp_path):
    mark = tmp_path / "ran"
    content = pickle.dumps(make(mark), protocol)
    with pytest.raises(DataError, match="file: the pickle holds"):
        read_plain(content, where="file")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x02cbuiltins\nobject\n)\x81.",
        b"Pposition\n.",
        b"\x80\x02\x82\x01.",
        # State for a name, which real unpickling would set as its attributes.
        b"cbuiltins\nset\n}S'a'\nI1\nsb.",
        b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93)R.",
    ],
)
def test_handwritten_programs_are_refused(content):
    with pytest.raises(DataError, match="the pickle holds"):
        read_plain(content, where="file")


@pytest.mark.parametrize("cut", [0, 1, 2, 15, 40, -1])
def test_truncated_pickles_are_refused(cut):
    content = pickle.dumps({u: np.arange(u) for u in range(3)}, 4)[:cut]
    with pytest.raises(DataError, match="truncated or damaged"):
        read_plain(content, where="file")


def test_damaged_pickles_never_do_anything_but_fail():
    """Every byte of a small pickle replaced by others: a plain value or one error."""
    whole = pickle.dumps({0: {1, 2}, 1: np.arange(3), 2: [np.int64(4)]}, 4)
    failed = 0
    for place in range(len(whole)):
        for byte in (0, 1, 40, 46, 82, 98, 99, 147, 255):
            damaged = whole[:place] + bytes([byte]) + whole[place + 1 :]
            try:
                read_plain(damaged, where="file")
            except DataError:
                failed += 1
    assert failed > 5 * len(whole)


def test_shared_lists_do_not_explode():
    shared = [1]
    for _ in range(7):
        shared = [shared] * 1000
    got = _plain(shared)
    assert len(got) == 1000 and got[0] is got[999]


def test_a_folder_becomes_one_that_load_mmrec_reads(folder, tmp_path):
    target = tmp_path / "out"
    made = convert(folder, target, seed=3)
    data = load_mmrec(target)
    assert made.name == data.name == "toy_set" and made.split == "meta_mmf@3"
    assert (data.n_users, data.n_items) == (USERS, ITEMS)
    assert set(data.features) == {"image", "audio"}
    assert_array_equal(
        data.features["image"], np.load(folder / "v_feat_sample.npy").astype("float32")
    )
    for split in ("train", "valid", "test"):
        assert_array_equal(data.pairs(split), made.pairs(split))
    every = np.concatenate([data.train, data.valid, data.test])
    assert {tuple(p) for p in every.tolist()} == {(u, i) for u in LIKED for i in LIKED[u]}
    n = np.array([len(LIKED[u]) for u in range(USERS)])
    assert_array_equal(np.bincount(data.train[:, 0]), np.round(0.8 * n))
    assert_array_equal(np.bincount(data.test[:, 0]), np.ceil((n - np.round(0.8 * n)) / 2))
    files = sorted(path.name for path in target.iterdir())
    assert files == [
        "audio_feat.npy",
        "dataset.json",
        "image_feat.npy",
        "items.parquet",
        "toy_set.inter",
        "users.parquet",
    ]
    other = convert(folder, tmp_path / "other", seed=4)
    assert not np.array_equal(other.train, made.train)


def test_items_behind_the_users_are_the_same_data(folder, tmp_path):
    shifted = {u: np.array(sorted(items)) + 1000 for u, items in LIKED.items()}
    shifted[1200] = [1003, 1004]
    features = {"t_feat": np.ones((ITEMS, 2))}
    ambiguous = {u: {i + USERS for i in items if i + USERS < ITEMS} for u, items in LIKED.items()}
    data = convert(_folder(tmp_path / "a", {0: {5}, 4: [6, 2]}, **features), tmp_path / "x")
    assert data.n_users == 5 and data.n_items == ITEMS
    behind = {u: {i + USERS for i in items} for u, items in LIKED.items()}
    assert max(map(max, behind.values())) >= ITEMS
    one = convert(_folder(tmp_path / "b", behind, **features), tmp_path / "y")
    two = convert(folder, tmp_path / "z")
    assert_array_equal(one.train, two.train)
    with pytest.raises(DataError, match="neither way fits"):
        convert(_folder(tmp_path / "c", shifted, **features), tmp_path / "w")
    both = _folder(tmp_path / "d", ambiguous, **features)
    with pytest.raises(DataError, match="count from 0 or behind"):
        convert(both, tmp_path / "v")
    kept = convert(both, tmp_path / "v", offset=0)
    assert kept.train[:, 1].min() >= USERS > convert(both, tmp_path / "u", offset=USERS).train.min()
    assert find_offset(np.array([[0, 3]]), 5, None) == 0


@pytest.mark.parametrize(
    "file, expected",
    [
        ("v_feat", "image"),
        ("a_feat_sample", "audio"),
        ("FeatureText_stl_normal", "text"),
        ("FeatureVideo_normal", "image"),
        ("feat_odour", "odour"),
    ],
)
def test_modalities_by_file_name(file, expected, tmp_path):
    assert modality_of(tmp_path / f"{file}.npy") == expected


@pytest.mark.parametrize(
    "content, message",
    [
        ([1, 2], "list; give a dictionary"),
        ({}, "dict; give a dictionary"),
        ({"ann": {1}}, "users"),
        ({-1: {1}}, "whole numbers from 0"),
        ({0: {1.5}}, "items of user 0: float64"),
        ({0: 3}, "items of user 0: int"),
        ({0: [[1, 2], [3]]}, "items of user 0"),
        ({0: [2**80]}, "items of user 0"),
        ({0: {1}, 1: None}, "items of user 1: NoneType"),
    ],
)
def test_dictionaries_that_are_none(content, message, tmp_path):
    holder = np.empty((), object)
    holder[()] = content
    np.save(tmp_path / "f.npy", holder, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_user_items(tmp_path / "f.npy")


def test_users_without_items_and_repeats_do_no_harm(tmp_path):
    np.save(tmp_path / "f.npy", {0: [3, 3, 1], 1: [], 2: set()}, allow_pickle=True)
    assert_array_equal(read_user_items(tmp_path / "f.npy"), [[0, 1], [0, 3]])


def test_files_that_are_none(tmp_path):
    np.save(tmp_path / "numbers.npy", np.arange(3))
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "empty.npy").write_text("")
    for name, message in (("numbers", "int64"), ("text", "no .npy"), ("empty", "no .npy")):
        with pytest.raises(DataError, match=message):
            read_user_items(tmp_path / f"{name}.npy")


def test_folders_that_cannot_be_read_leave_nothing_behind(folder, tmp_path):
    np.save(folder / "v_feat_again.npy", np.ones((ITEMS, 2)))
    with pytest.raises(DataError, match="which modality"):
        convert(folder, tmp_path / "out")
    (folder / "v_feat_again.npy").rename(folder / "image_feat.npy")
    with pytest.raises(DataError, match="a second file of modality image"):
        convert(folder, tmp_path / "out")
    np.save(folder / "image_feat.npy", np.ones((3, 2)))
    (folder / "v_feat_sample.npy").unlink()
    with pytest.raises(DataError, match="disagree"):
        convert(folder, tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "nowhere", tmp_path / "out")
    (folder / "user_item_dict_sample.npy").unlink()
    with pytest.raises(DataError, match="found none"):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_made_or_why_not(folder, tmp_path, capsys):
    target = tmp_path / "out"
    assert main([str(folder), str(target), "--name", "toy"]) == 0
    assert "toy, split meta_mmf@0: 12 users, 40 items" in capsys.readouterr().out
    assert main([str(folder), str(target)]) == 1
    assert "exists" in capsys.readouterr().err


@pytest.mark.process
def test_the_command_runs_without_jax(folder, tmp_path):
    code = (
        "import runpy, sys; sys.argv = ['x', *sys.argv[1:]]\n"
        "try: runpy.run_module('mmjax.data.formats.mmgcn', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'jax' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "toy_set.inter").exists()
