"""Folders in the MMRec format: what is read, what is refused and how that is said."""

import gzip
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions
from mmjax.data.formats.mmrec import load_mmrec, save_mmrec

HEADER = "userID\titemID\tx_label\n"


def write(folder, text):
    (folder / "shop.inter").write_text(text)


def test_a_folder_as_it_is(folder, tiny):
    data = load_mmrec(folder)
    assert (data.name, data.split, data.n_users, data.n_items) == ("shop", "mmrec", 3, 5)
    for split in ("train", "valid", "test"):
        assert data.pairs(split).tolist() == tiny.pairs(split).tolist()
    assert data.modalities == ("image", "text")
    np.testing.assert_array_equal(data.features["image"], tiny.features["image"])
    assert data.user_ids.tolist() == ["ann", "bob", "cy"]
    assert data.item_ids.tolist() == ["B0", "0001", "B2", "B3", "B4"], "text, zeros kept"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_of_any_float_become_float32(folder, tiny, dtype):
    np.save(folder / "text_feat.npy", tiny.features["text"].astype(dtype))
    text = load_mmrec(folder).features["text"]
    assert text.dtype == np.float32
    np.testing.assert_array_equal(text, tiny.features["text"].astype(dtype).astype(np.float32))


def test_any_number_of_modalities(folder):
    np.save(folder / "audio_vggish_feat.npy", np.ones((5, 1), np.float32))
    assert load_mmrec(folder).modalities == ("audio_vggish", "image", "text")
    for file in folder.glob("*_feat.npy"):
        file.unlink()
    data = load_mmrec(folder)
    assert data.modalities == ()
    assert data.n_items == 5, "the id map knows of item 4"
    (folder / "i_id_mapping.csv").unlink()
    assert load_mmrec(folder).n_items == 4, "the highest id counts"


def test_zipped_typed_and_windows_headers(folder):
    text = (folder / "shop.inter").read_text()
    expected = load_mmrec(folder).digest
    typed = text.replace("userID\titemID", "userID:token\titemID:token", 1)
    (folder / "shop.inter").write_bytes(("\ufeff" + typed.replace("\n", "\r\n")).encode())
    assert load_mmrec(folder).digest == expected
    (folder / "shop.inter").unlink()
    (folder / "shop.inter.gz").write_bytes(gzip.compress(text.encode()))
    data = load_mmrec(folder)
    assert (data.digest, data.name) == (expected, "shop")


def test_columns_under_other_names(folder):
    write(folder, "u\ti\tfold\n0\t0\t0\n1\t2\t2\n")
    with pytest.raises(
        DataError, match="no column userID, itemID, x_label; found u, i, fold; name"
    ):
        load_mmrec(folder)
    assert load_mmrec(folder, user="u", item="i", label="fold").test.tolist() == [[1, 2]]


def test_a_fresh_split_needs_no_label(folder):
    write(folder, "userID\titemID\n" + "".join(f"0\t{i}\n" for i in range(5)))
    with pytest.raises(DataError, match="no column x_label.*fresh split by the argument split"):
        load_mmrec(folder)
    data = load_mmrec(folder, split="mmrec", seed=2)
    assert (len(data.train), len(data.valid), len(data.test)) == (3, 1, 1)
    assert data.split == "mmrec@2"
    with pytest.raises(DataError, match="no timestamps"):
        load_mmrec(folder, split="leave-one-out")


def test_a_split_by_time_reads_the_timestamps(folder):
    data = load_mmrec(folder, split="leave-one-out")
    assert data.test.tolist() == [[0, 3], [1, 2]]
    assert data.split == "leave-one-out"


def test_a_column_that_is_not_needed_is_not_judged(folder):
    text = (folder / "shop.inter").read_text()
    expected = load_mmrec(folder).digest
    write(folder, text.replace("\t33\t", "\tyesterday\t"))
    with pytest.warns(UserWarning, match="row 10: 'yesterday' is no time.*without times"):
        found = load_mmrec(folder)
    assert (found.digest, dict(found.times)) == (expected, {})
    with pytest.raises(DataError, match="row 10: 'yesterday'"):
        load_mmrec(folder, split="global-time")


def test_several_interaction_files_are_asked_about(folder):
    shutil.copy(folder / "shop.inter", folder / "other.inter")
    with pytest.raises(DataError, match="which of other.inter, shop.inter.*argument name"):
        load_mmrec(folder)
    assert load_mmrec(folder, name="other").name == "other"
    with pytest.raises(FileNotFoundError, match="no third.inter; it holds other.inter, shop.inter"):
        load_mmrec(folder, name="third")


def test_missing_folders_and_files(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        load_mmrec(tmp_path / "nowhere")
    (folder / "shop.inter").unlink()
    with pytest.raises(FileNotFoundError, match="no <name>.inter; it holds no .inter file"):
        load_mmrec(folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "shop.inter: the file is empty"),
        ("\n", "shop.inter: the file is empty, or its first line is"),
        (HEADER, "shop.inter: no rows below the header"),
        ("userID\titemID\n0\t0\n", "no column x_label; found userID, itemID"),
        ("0\t0\t0\n1\t1\t1\n", "no column userID, itemID, x_label; found 0, 0, 0"),
        (HEADER + "0\t0\t0\n0\t1", "Row #3: Expected 3 columns, got 2.*cut off"),
        (HEADER + "0\t0\t0\n0\t1\t", "row 3: no x_label"),
        (HEADER + "0\t0\t0\n\t1\t0\n", "row 3: no userID"),
        (HEADER + "0\t0\t0\t7\n", "Row #2: Expected 3 columns, got 4"),
        (HEADER + "0\t0\t0\nx\t1\t0\n", "Row #3: CSV conversion error.*'x'"),
        (HEADER + "0\t0.5\t0\n", "Row #2: CSV conversion error.*'0.5'"),
        (HEADER + "0\tnan\t0\n", "row 2: no itemID"),
        (HEADER + "0\t0\t0\n-1\t1\t0\n", r"row 3: userID -1 is out of range"),
        (HEADER + "0\t0\t0\n0\t9999999999\t0\n", r"row 3: itemID 9999999999 is out of range"),
        (HEADER + "0\t99999999999999999999\t0\n", "Row #2"),
        (HEADER + "0\t0\t0\n0\t1\t3\n", "row 3: x_label 3; give 0 for train"),
        (
            HEADER + "0\t0\t0\n1\t0\t0\n0\t1\t1\n1\t0\t2\n",
            "user 1 and item 0 occur twice, in row 3 and row 5",
        ),
        (HEADER + "0\t0\t1\n0\t1\t2\n", r"shop.inter \(train\): no rows"),
        (HEADER + "0\t7\t0\n", "rows for 8 items"),
    ],
)
def test_bad_interactions_are_named(folder, text, says):
    write(folder, text)
    (folder / "i_id_mapping.csv").unlink()
    with pytest.raises(DataError, match=says) as caught:
        load_mmrec(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("where", ["header", "row"])
def test_text_that_is_no_utf8(folder, where):
    raw = {
        "header": b"user\xe9\titemID\tx_label\n0\t0\t0\n",
        "row": HEADER.encode() + b"\xe9\t1\t0",
    }
    (folder / "shop.inter").write_bytes(raw[where])
    with pytest.raises(DataError, match="shop.inter, row [12]: not UTF-8"):
        load_mmrec(folder)


def test_a_mapping_that_is_no_utf8(folder):
    (folder / "u_id_mapping.csv").write_bytes(b"user_id\tuserID\nann\xe9\t0\nbob\t1\ncy\t2\n")
    with pytest.raises(DataError, match="u_id_mapping.csv, row 2: not UTF-8"):
        load_mmrec(folder)


@pytest.mark.parametrize("kept", [5, 30, -9])
def test_a_truncated_archive(folder, kept):
    raw = gzip.compress((folder / "shop.inter").read_bytes())
    (folder / "shop.inter").unlink()
    (folder / "shop.inter.gz").write_bytes(raw[:kept])
    with pytest.raises(DataError, match="shop.inter.gz: truncated or damaged"):
        load_mmrec(folder)


def damage(kind, path, array):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif kind == "header cut":
        path.write_bytes(path.read_bytes()[:20])
    elif kind == "objects":
        np.save(path, np.array([{"a": 1}] * 5, object), allow_pickle=True)
    elif kind == "pickle":
        array.dump(path)
    elif kind == "text":
        path.write_text("1 2 3")
    elif kind == "archive":
        with open(path, "wb") as file:
            np.savez(file, array)
    elif kind == "integers":
        np.save(path, np.ones((5, 4), np.int64))
    elif kind == "strings":
        np.save(path, np.full((5, 4), "a"))
    elif kind == "complex":
        np.save(path, array.astype(np.complex64))
    elif kind == "short":
        np.save(path, array[:3])
    elif kind == "flat":
        np.save(path, array[:, 0])
    elif kind == "scalar":
        np.save(path, np.float32(1))
    elif kind == "no columns":
        np.save(path, array[:, :0])
    elif kind == "nan":
        array = array.copy()
        array[4, 1] = np.nan
        np.save(path, array)
    elif kind == "too large":
        array = array.astype(np.float64)
        array[2, 3] = 1e300
        np.save(path, array)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "the file is empty"),
        ("truncated", "truncated or damaged"),
        ("header cut", "truncated or damaged|pickled"),
        ("objects", "holds pickled Python objects"),
        ("pickle", "holds pickled Python objects"),
        ("text", "pickled Python objects, or is no NumPy file"),
        ("archive", "an archive of arrays, not one"),
        ("integers", "dtype int64; save as float16"),
        ("strings", "dtype <U1; save as float16"),
        ("complex", "dtype complex64"),
        ("flat", r"shape \(5,\)"),
        ("scalar", r"shape \(\)"),
        ("no columns", r"shape \(5, 0\)"),
        ("nan", "row 4, column 1: nan"),
        ("too large", "row 2, column 3: inf"),
    ],
)
def test_bad_feature_files_are_named(folder, tiny, kind, says):
    damage(kind, folder / "text_feat.npy", tiny.features["text"])
    with pytest.raises(DataError, match=says) as caught:
        load_mmrec(folder)
    assert str(folder / "text_feat.npy") in str(caught.value)


def test_feature_files_of_different_lengths(folder, tiny):
    damage("short", folder / "text_feat.npy", tiny.features["text"])
    with pytest.raises(DataError, match="disagree.*image_feat.npy 5, text_feat.npy 3"):
        load_mmrec(folder)


@pytest.mark.parametrize(
    "text",
    [
        "asin\titemID\nB2\t2\nB0\t0\n0001\t1\nB3\t3\nB4\t4\n",
        "itemID\tasin\n0\tB0\n1\t0001\n2\tB2\n3\tB3\n4\tB4\n",
        "item_id,itemID\nB0,0\n0001,1\nB2,2\nB3,3\nB4,4\n",
        "\tasin\titemID\n0\tB2\t2\n1\tB0\t0\n2\t0001\t1\n3\tB3\t3\n4\tB4\t4\n",
        '"asin"\t"whatever"\n"B0"\t0\n"0001"\t1\n"B2"\t2\n"B3"\t3\n"B4"\t4\n',
    ],
)
def test_spellings_of_id_maps(folder, text):
    (folder / "i_id_mapping.csv").write_text(text)
    assert load_mmrec(folder).item_ids.tolist() == ["B0", "0001", "B2", "B3", "B4"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("userID\n0\n1\n2\n", r"1 columns \(userID\); an id map has two"),
        ("a\tb\tuserID\n1\t2\t0\n", r"3 columns \(a, b, userID\)"),
        ("user_id\tuserID\nann\t0\nbob\t1\ncy\t1\n", "column userID must hold each index 0..2"),
        ("user_id\tuserID\nann\t0\nbob\t1\n", "u_id_mapping.csv: 2 entries, expected 3"),
        ("user_id\tuserID\nann\t0\nbob\t1\ncy\tx\n", "column userID must hold each index"),
        ("user_id\tuserID\nann\t0\nann\t1\ncy\t2\n", "raw id ann stands for more than one"),
        ("a\tb\n0\t2\n1\t1\n2\t0\n", "cannot tell the index from the raw id in columns a, b"),
        ("a\tb\nx\ty\n", "cannot tell the index"),
    ],
)
def test_bad_id_maps_are_named(folder, text, says):
    (folder / "u_id_mapping.csv").write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        load_mmrec(folder)
    assert "u_id_mapping.csv" in str(caught.value)


@st.composite
def data_sets(draw):
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    cells = draw(
        st.lists(st.integers(0, n_users * n_items - 1), min_size=1, max_size=20, unique=True)
    )
    labels = [0, *(draw(st.integers(0, 2)) for _ in cells[1:])]
    pairs = np.array([divmod(cell, n_items) for cell in cells], np.int32)
    parts = [pairs[np.array(labels) == label] for label in range(3)]
    finite = st.floats(-1e6, 1e6, width=32)
    width = draw(st.integers(1, 3))
    names = st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
        min_size=n_items,
        max_size=n_items,
        unique=True,
    )
    return dict(
        name="any",
        split="mmrec",
        n_users=n_users,
        n_items=n_items,
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        features={"text": draw(hnp.arrays(np.float32, (n_items, width), elements=finite))},
        user_ids=np.array([f"user {n}" for n in range(n_users)]),
        item_ids=np.array(draw(names)),
    )


@given(data_sets())
def test_what_is_saved_is_loaded_again(tmp_path_factory, fields):
    data = Interactions(**fields)
    path = tmp_path_factory.mktemp("saved")
    save_mmrec(data, path)
    assert load_mmrec(path).digest == data.digest
    assert not list(path.glob(".tmp-*"))
