"""Amazon Beauty and Toys: the published sizes, what is known of the items, and how it was made."""

import numpy as np
import pytest

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import validate
from mmjax.data.core.sequences import from_interactions, validate_sequences
from mmjax.data.loading import load
from mmjax.data.registry import find
from mmjax.data.sets.common.source import package_directory

PUBLISHED = {"amazon_beauty": (22_363, 12_101, 198_502), "amazon_toys": (19_412, 11_924, 167_597)}
"""Users, items and interactions as published with S3-Rec, P5 and TIGER."""


def shipped(name):
    """A data set straight from its files, without the cache."""
    return find(name).read(package_directory(name))


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    pairs = validate(shipped(name))
    data = validate_sequences(from_interactions(pairs))
    assert (data.n_users, data.n_items, len(data.items)) == PUBLISHED[name]
    assert data.split == pairs.split == "leave-one-out"
    assert data.lengths.min() == np.bincount(data.items).min() == 5, "the 5-core"
    assert len(pairs.valid) == len(pairs.test) == data.n_users
    assert len(pairs.train) == PUBLISHED[name][2] - 2 * data.n_users
    assert data.to_interactions().digest == pairs.digest
    assert not any("&amp;" in title or "  " in title for title in data.titles)


@pytest.mark.slow
def test_beauty_by_name(tmp_path):
    data = load("amazon_beauty", kind="sequences", data_dir=tmp_path)
    pairs = load("amazon_beauty", kind="interactions", data_dir=tmp_path)
    assert pairs.digest == shipped("amazon_beauty").digest
    assert load("amazon_beauty", data_dir=tmp_path).digest == data.digest
    assert data.to_interactions().digest == shipped("amazon_beauty").digest
    assert data.of_user(0).tolist() == [10318, 6381, 2387, 4084, 1425]
    assert data.user_id(0) == "1" and data.item_id(7) == "7"
    assert data.item_title(0) == "Glow in the Dark Neon Nail Polish (6 Pack)"
    assert data.item_tags[0] == "Makeup,Nails,Nail Polish"
    assert len(data.prefixes().user) == 131_413
    assert data.modalities == ("text",) and data.features["text"].shape == (12_101, 384)
    classes = {key: len(found.classes) for key, found in data.attributes.items()}
    assert classes == {"category": 6, "subcategory": 37}


def test_text_features_belong_to_their_items():
    """The nearest item by text is mostly of the same kind; by chance 6 % would be."""
    data = shipped("amazon_beauty")
    text, kind = data.features["text"], data.attributes["subcategory"].labels
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1, atol=1e-3)
    some = np.arange(0, data.n_items, 40)
    similarity = text[some] @ text.T
    similarity[np.arange(len(some)), some] = -1
    assert (kind[similarity.argmax(1)] == kind[some]).mean() > 0.75


def test_toys():
    data = from_interactions(shipped("amazon_toys"))
    assert data.item_title(0) == "NECA Batman Adam West Action Figure, 1/4 Scale"
    assert data.item_tags[0] == "Grown-Up Toys,Action & Toy Figures"
    labels, classes = data.attributes["category"]
    assert classes[labels[0]] == "Grown-Up Toys" and len(classes) == 19


def test_data_without_an_order_are_refused():
    with pytest.raises(ValueError, match="lastfm_2k does not load as sequences.*choose amazon_"):
        load("lastfm_2k", kind="sequences")


def test_the_files_are_made_from_the_source(tmp_path):
    from mmjax.data.io.readers import read_npz
    from mmjax.data.sets.amazon_beauty import prepare

    source, target = tmp_path / "rec_data", tmp_path / "made"
    source.mkdir()
    (source / "sequential_data.txt").write_text("1 2 0\n2 1 0 2\n")
    titles = {"0": "Soap &amp;\n Glory", "1": "b", "2": "c"}
    paths = {n: [["Beauty", "Nails"], ["Other"]] for n in "01"} | {"2": [["Beauty"]]}
    np.save(source / "title_maps.npy", np.array({"id2title": titles}, object))
    np.save(source / "category_map.npy", np.array({"id2category": paths}, object))
    text = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "text.npy", text)
    prepare.main(source, target, tmp_path / "text.npy")
    made = read_npz(target / "sequences.npz")
    assert made["items"].tolist() == [2, 0, 1, 0, 2] and made["lengths"].tolist() == [2, 3]
    assert read_npz(target / "features_f16.npz")["text"].tolist() == text.tolist()
    from pyarrow import parquet

    items = parquet.read_table(target / "items.parquet").to_pylist()
    assert items[0]["title"] == "Soap & Glory" and items[0]["categories"] == ["Nails"]
    assert items[2]["category"] == "other"
    (source / "sequential_data.txt").write_text("1 2 0\n3 1 0 2\n")
    with pytest.raises(DataError, match="users are not numbered"):
        prepare.main(source, target)
    (source / "sequential_data.txt").write_text("1 9 0\n")
    with pytest.raises(DataError, match="do not belong together"):
        prepare.main(source, target)
