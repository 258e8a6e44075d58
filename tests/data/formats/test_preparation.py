"""A user's own tables: read, cleaned, written, and read back whole."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mmjax.data import in_order_of_time, load_mmrec, prepare, resplit
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS

RATINGS = "user_id,film,when,stars\n" + "".join(
    f"u{u},f{(u + i) % 9},2024-01-{1 + i:02d},{1 + i % 5}\n" for u in range(9) for i in range(6)
)
FILMS = "id,Title,overview,poster,studio\n" + "".join(
    f'f{i},"Film {i}, the {"first" if i else "zeroth"}",{"about " + str(i) if i % 4 else ""},'
    f"p{i}.png,s{i % 2}\n"
    for i in range(8)  # film 8 is not described
)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "films.csv").write_text(FILMS)
    return tmp_path


def options(files):
    return {
        "item": "film",
        "items": files / "films.csv",
        "attributes": ("studio",),
        "encode": {"text": lambda texts: np.array([[len(t), 1.0] for t in texts])},
    }


def test_from_raw_files_to_a_folder_and_back(files):
    out = files / "out"
    data = prepare(files / "ratings.csv", out=out, split="leave-one-out", **options(files))
    assert (data.name, data.split, data.n_users, data.n_items) == ("ratings", "leave-one-out", 9, 9)
    assert data.titles[data.item_index("f3")] == "Film 3, the first"
    assert data.titles[data.item_index("f8")] == "f8"
    assert data.texts[data.item_index("f4")] == ""
    assert data.pictures[data.item_index("f1")] == str(files / "p1.png")
    studio = data.attributes["studio"]
    assert studio.classes == ("s0", "s1", "unknown")
    assert studio.labels[data.item_index("f8")] == 2
    # Text encodes the title too, so that film 8 alone has nothing.
    assert np.flatnonzero(data.absent["text"]).tolist() == [data.item_index("f8")]
    assert (data.features["text"][data.item_index("f8")] == 0).all()
    assert data.features["text"][data.item_index("f1"), 0] == len("Film 1, the first. about 1")
    back = load_mmrec(out)
    same(back, data)
    about = json.loads((out / "dataset.json").read_text())
    assert (about["split"], about["provenance"]["rows"]) == ("leave-one-out", 54)
    mine = [data.item_index(f"f{i}") for i in range(6)]
    assert in_order_of_time(back).of_user(0).tolist() == mine


def same(back, data):
    assert back.digest == data.digest
    for split in SPLITS:
        np.testing.assert_array_equal(back.times[split], data.times[split])
    for field in ("name", "split", "texts", "pictures", "item_tags"):
        assert getattr(back, field) == getattr(data, field)
    assert back.provenance == data.provenance
    assert back.absent.keys() == data.absent.keys()


@pytest.mark.parametrize("form", ["mapping", "arrow", "parquet", "jsonl", "tsv", "inter", "gz"])
def test_every_form_of_the_table_is_the_same_data(files, form):
    want = prepare(files / "ratings.csv", item="film")
    rows = [line.split(",") for line in RATINGS.splitlines()]
    columns = {n: list(x) for n, x in zip(rows[0], zip(*rows[1:], strict=True), strict=True)}
    columns["stars"] = [int(x) for x in columns["stars"]]
    path = files / f"table.{form}"
    if form == "mapping":
        path = columns
    elif form == "arrow":
        path = pa.table(columns)
    elif form == "parquet":
        parquet.write_table(pa.table(columns), path)
    elif form == "jsonl":
        each = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in each))
    elif form == "gz":
        import gzip

        path = files / "table.csv.gz"
        path.write_bytes(gzip.compress(RATINGS.encode()))
    else:
        head = "user_id:token,film:token,when:token,stars:float"
        text = RATINGS.replace("user_id,film,when,stars", head) if form == "inter" else RATINGS
        path.write_text(text.replace(",", "\t"))
    assert prepare(path, item="film").digest == want.digest


def test_whole_numbers_that_pandas_made_floats_are_ids():
    data = prepare({"user": np.array([1.0, 2.0, np.nan]), "item": [7, 7, 7]}, k_core=0)
    assert data.user_ids.tolist() == ["1", "2"]
    assert data.provenance["dropped"] == {"no user": 1}


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cs"]),
    min_size=1,
    max_size=6,
) | st.sampled_from(["NA", "nan", "1.0", '"', "\t", "\n", "a,b", "1\n2"])


@given(
    st.lists(st.tuples(NAMES, NAMES, st.integers(-(2**62), 2**62)), min_size=1, max_size=30),
    st.sampled_from(["none", "mmrec", "random-1:1:1", "leave-one-out", "items-2:1:1"]),
)
@settings(max_examples=40, deadline=None)
def test_written_and_read_back_nothing_is_lost(tmp_path_factory, rows, split):
    columns = dict(zip(("user", "item", "time"), map(list, zip(*rows, strict=True)), strict=True))
    out = tmp_path_factory.mktemp("out") / "o"
    titles = {"item": sorted(set(columns["item"]))}
    titles["title"] = [f"<{name}>" for name in titles["item"]]
    data = prepare(columns, out=out, k_core=0, split=split, items=titles)
    assert sum(len(data.pairs(s)) for s in SPLITS) == len({row[:2] for row in rows})
    same(load_mmrec(out), data)


def test_new_splits(files):
    every = prepare(files / "ratings.csv", item="film", split="none")
    assert every.empty_splits() == ("valid", "test")
    cold = prepare(files / "ratings.csv", item="film", split="items-1:1:1")
    parts = [set(cold.pairs(split)[:, 1].tolist()) for split in SPLITS]
    assert [len(p) for p in parts] == [3, 3, 3] and not parts[0] & (parts[1] | parts[2])
    assert resplit(every, "items-1:1:1").digest == resplit(cold, "items-1:1:1").digest
    last = resplit(every, "leave-one-out")
    assert last.times["test"].min() > last.times["train"].max()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"item": None}, r"say which by item= \(--item\)|no column looks like the item"),
        ({"user": "who"}, "no column who; found user_id"),
        ({"time": "film"}, "row 2: 'f0' is no time"),
        ({"rating": "film"}, "row 2: the rating 'f0' in film is no number"),
        ({"k_core": 50}, r"none of 54 rows is left.*54 outside.*--k-core"),
        ({"split": "nonsense"}, "no split 'nonsense'"),
        ({"min_rating": 9.0}, "54 a rating below 9"),
        ({"items": {"item": ["x"]}, "encode": {}, "attributes": ()}, "none of 9 items is among"),
        ({"items": {"item": ["f1", "f1"]}, "attributes": ()}, "row 1: item f1 stands in row 0"),
        ({"items": None}, "give the table of items"),
        ({"encode": {"image": lambda paths: paths}}, "8 of 8 pictures are missing.*p"),
        ({"encode": {"text": lambda texts: np.ones((1, 2))}}, "1 vectors for 8 inputs"),
    ],
)
def test_faults_are_found_and_nothing_is_written(files, change, says):
    chosen = {**options(files), **change}
    if change == {"item": None}:
        (files / "ratings.csv").write_text(RATINGS.replace("film", "what"))
    with pytest.raises((DataError, ValueError), match=says):
        prepare(files / "ratings.csv", out=files / "out", **chosen)
    assert not (files / "out").exists()


def test_a_folder_that_is_there_stays(files):
    prepare(files / "ratings.csv", item="film", out=files / "out")
    for place in (files / "out", files / "films.csv"):
        with pytest.raises(DataError, match="is there and not empty"):
            prepare(files / "ratings.csv", item="film", out=place)


def test_vectors_that_are_there_and_the_mean_of_the_others(files):
    vectors = np.arange(16, dtype=np.float32).reshape(8, 2)
    np.save(files / "v.npy", vectors)
    chosen = {"item": "film", "items": files / "films.csv", "missing": "mean"}
    data = prepare(files / "ratings.csv", features={"audio": files / "v.npy"}, **chosen)
    assert data.features["audio"][data.item_index("f3")].tolist() == [6, 7]
    assert data.features["audio"][data.item_index("f8")].tolist() == [7, 8]
