"""The data set itself: what it holds, what it refuses, how it is looked up."""

import dataclasses

import numpy as np
import pytest

from mmjax.data.core.catalogue import Attribute
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import validate


def changed(data, field, row, column, value):
    array = getattr(data, field).copy()
    array[row, column] = value
    return dataclasses.replace(data, **{field: array})


def labelled(labels, classes=("red", "blue"), name="colour", dtype=np.int32):
    return {"attributes": {name: Attribute(np.array(labels, dtype), classes)}}


def test_a_sound_data_set_passes_unchanged(tiny):
    assert validate(tiny) is tiny
    assert tiny.modalities == ("image", "text")
    assert "3 users, 5 items, 5/2/2 train/valid/test, features: image 3, text 4" in repr(tiny)


def test_nothing_can_be_written_to(tiny):
    for array in (tiny.train, tiny.valid, tiny.test, tiny.features["text"], tiny.titles):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(TypeError):
        tiny.features["text"] = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.n_users = 4


def test_the_arrays_of_the_caller_stay_writable(tiny):
    mine = tiny.train.copy()
    dataclasses.replace(tiny, train=mine)
    mine[0] = 0


@pytest.mark.parametrize(
    ("field", "row", "column", "value", "says"),
    [
        ("train", 3, 0, 3, r"train, row 3: user id 3 is out of range \(0..2\)"),
        ("train", 1, 1, -1, r"train, row 1: item id -1 is out of range \(0..4\)"),
        ("test", 0, 1, 5, r"test, row 0: item id 5 is out of range \(0..4\)"),
        ("train", 1, 1, 0, "user 0 and item 0 occur twice, in train row 0 and train row 1"),
        ("valid", 0, 1, 1, "user 0 and item 1 occur twice, in train row 1 and valid row 0"),
        ("test", 1, 1, 0, "user 1 and item 0 occur twice, in valid row 1 and test row 1"),
    ],
)
def test_bad_pairs_are_named(tiny, field, row, column, value, says):
    with pytest.raises(DataError, match=says):
        validate(changed(tiny, field, row, column, value))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_features_are_named_by_modality_row_and_column(tiny, value):
    text = tiny.features["text"].copy()
    text[3, 2] = value
    bad = dataclasses.replace(tiny, features={**tiny.features, "text": text})
    with pytest.raises(DataError, match=r"features\['text'\], row 3, column 2: -?(nan|inf)"):
        validate(bad)


def test_the_largest_numbers_of_float32_are_no_fault(tiny):
    huge = np.full((5, 4), np.finfo(np.float32).max)
    assert validate(tiny.with_features(text=huge)).features["text"][0, 0] == huge[0, 0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train": np.zeros((1, 2), np.int64)}, r"train: int64\[1, 2\]; give .* int32"),
        ({"train": np.zeros((1, 2), np.float32)}, "train: float32"),
        ({"test": np.zeros((2, 3), np.int32)}, r"test: int32\[2, 3\]"),
        ({"train": np.zeros((0, 2), np.int32)}, "train: no rows"),
        ({"features": {"text": np.zeros((5, 4))}}, "float64; convert to float32"),
        ({"features": {"text": np.zeros((4, 4), np.float32)}}, "4 rows for 5 items"),
        ({"features": {"text": np.zeros((6, 4), np.float32)}}, "6 rows for 5 items"),
        ({"features": {"text": np.zeros(5, np.float32)}}, r"shape \(5,\)"),
        ({"features": {"a b": np.zeros((5, 1), np.float32)}}, "letters, digits"),
        ({"user_ids": np.array(["a", "b"])}, "user_ids: 2 entries, expected 3"),
        ({"user_ids": np.array(["a", "b", "a"])}, "raw id a stands for more than one"),
        ({"item_ids": np.arange(5.0)}, "item_ids: dtype float64"),
        ({"titles": np.array(["a"])}, "titles: 1 entries, expected 5"),
        ({"item_tags": ("a",)}, "item_tags: 1 entries, expected 5"),
        (labelled([0, 1, 0, 0]), r"attributes\['colour'\]: 4 labels for 5 items"),
        (labelled([0, 1, 0, 2, 0]), r"\['colour'\], row 3: label 2 is out of range \(0..1\)"),
        (labelled([0, -1, 0, 0, 0]), r"\['colour'\], row 1: label -1 is out of range"),
        (labelled([0.0] * 5, dtype=np.float32), r"float32\[5\]; give .* int32"),
        (labelled([[0]] * 5), r"int32\[5, 1\]"),
        (labelled([0] * 5, ("red", "red")), "class 'red' occurs twice"),
        (labelled([0] * 5, name="a b"), "attribute 'a b': choose a name of letters"),
    ],
)
def test_bad_fields_are_named(tiny, changes, says):
    with pytest.raises(DataError, match=says):
        validate(dataclasses.replace(tiny, **changes))


def test_errors_call_a_field_by_the_file_it_came_from(tiny):
    text = tiny.features["text"].copy()
    text[0, 0] = np.nan
    bad = dataclasses.replace(tiny, features={"text": text})
    with pytest.raises(DataError, match="^shop/text_feat.npy, row 0"):
        validate(bad, names={"features/text": "shop/text_feat.npy"})


def test_the_masks_of_the_two_protocols(tiny):
    assert tiny.excluded("valid") is tiny.train
    assert tiny.excluded("test", "train") is tiny.train
    assert (
        tiny.excluded("valid", "train+held_out").tolist()
        == tiny.train.tolist() + tiny.test.tolist()
    )
    assert (
        tiny.excluded("test", "train+held_out").tolist()
        == tiny.train.tolist() + tiny.valid.tolist()
    )
    with pytest.raises(ValueError, match="choose valid or test"):
        tiny.excluded("train")
    with pytest.raises(ValueError, match="none of train, train\\+held_out"):
        tiny.excluded("test", "all")
    with pytest.raises(ValueError, match="none of train, valid, test"):
        tiny.pairs("dev")


def test_cold_users_lose_their_held_out_rows_only(tiny):
    cold = dataclasses.replace(tiny, train=tiny.train[2:])
    warm = cold.filter_cold_users()
    assert warm.valid.tolist() == [[1, 0]]
    assert warm.test.tolist() == [[1, 2]]
    assert warm.train.tolist() == cold.train.tolist()
    assert (warm.n_users, warm.n_items) == (3, 5)
    assert tiny.filter_cold_users().digest == tiny.digest


def test_attributes_are_kept_by_name_and_read_only(tiny):
    labels = np.array([0, 1, 1, 0, 1], np.int32)
    both = {"hue": Attribute(labels, ["red", "blue"]), "age": Attribute(labels, ("old", "new"))}
    data = validate(dataclasses.replace(tiny, attributes=both))
    assert list(data.attributes) == ["age", "hue"]
    assert data.attributes["hue"].classes == ("red", "blue")
    with pytest.raises(ValueError, match="read-only"):
        data.attributes["hue"].labels[0] = 1
    labels[0] = 0
    assert tiny.attributes == {}
    assert data.filter_cold_users().attributes["age"].labels.tolist() == [0, 1, 1, 0, 1]


def test_features_are_added_replaced_and_taken_away(tiny):
    audio = np.ones((5, 2), np.float32)
    more = tiny.with_features(audio=audio, image=None)
    assert more.modalities == ("audio", "text")
    assert more.features["text"] is not None
    assert tiny.modalities == ("image", "text")
    with pytest.raises(DataError, match="audio.*4 rows for 5 items"):
        tiny.with_features(audio=audio[:4])


def test_the_digest_tells_contents_apart(tiny):
    text = tiny.features["text"].copy()
    text[4, 3] = np.nextafter(text[4, 3], np.float32(9))
    others = [
        changed(tiny, "train", 0, 1, 4),
        dataclasses.replace(tiny, train=tiny.train[::-1]),
        dataclasses.replace(tiny, valid=tiny.test, test=tiny.valid),
        dataclasses.replace(tiny, features={**tiny.features, "text": text}),
        dataclasses.replace(tiny, features={"word": tiny.features["text"]}),
        dataclasses.replace(tiny, n_users=4),
        dataclasses.replace(tiny, split="mmrec@0"),
        dataclasses.replace(tiny, user_ids=None),
        dataclasses.replace(tiny, item_tags=None),
        dataclasses.replace(tiny, **labelled([0, 1, 0, 0, 0])),
        dataclasses.replace(tiny, **labelled([1, 1, 0, 0, 0])),
        dataclasses.replace(tiny, **labelled([0, 1, 0, 0, 0], ("red", "green"))),
        dataclasses.replace(tiny, **labelled([0, 1, 0, 0, 0], name="hue")),
        dataclasses.replace(tiny, titles=np.array(["Alpha", "Beta", "Gamma", "alpha", "Zeta"])),
    ]
    assert len({tiny.digest, *(other.digest for other in others)}) == len(others) + 1


def test_the_digest_ignores_names_and_layout_in_memory(tiny):
    same = dataclasses.replace(
        tiny,
        name="other",
        source="elsewhere",
        train=np.asfortranarray(tiny.train),
        titles=tiny.titles.astype("<U40"),
        features=dict(reversed(tiny.features.items())),
    )
    assert same.digest == tiny.digest


def test_names_are_found_both_ways(tiny):
    for index in range(tiny.n_users):
        assert tiny.user_index(tiny.user_id(index)) == index
    for index in range(tiny.n_items):
        assert tiny.item_index(tiny.item_id(index)) == index
    assert tiny.item_index(13) == tiny.item_index("13") == 3
    assert tiny.title_index("GAMMA") == 2
    assert tiny.title_index("épsilon") == 4
    assert tiny.title_index("ALPHA") == 0, "the first of equal titles"
    assert tiny.item_title(3) == "alpha"


def test_unknown_names_are_answered_with_similar_ones(tiny):
    with pytest.raises(LookupError, match="no title 'Gama'; did you mean 'Gamma'"):
        tiny.title_index("Gama")
    with pytest.raises(LookupError, match="no user 'anna'; did you mean 'ann'"):
        tiny.user_index("anna")
    with pytest.raises(LookupError, match="no item 'xyz'$"):
        tiny.item_index("xyz")


def test_without_names_indices_serve(tiny):
    plain = dataclasses.replace(tiny, user_ids=None, item_ids=None, titles=None)
    assert plain.user_index("2") == plain.user_index(2) == 2
    assert plain.item_title(4) == plain.item_id(4) == "4"
    for bad in ("3", "-1", "ann"):
        with pytest.raises(LookupError, match=r"give an index 0\.\.2"):
            plain.user_index(bad)
    with pytest.raises(LookupError, match="no titles"):
        plain.title_index("Alpha")
