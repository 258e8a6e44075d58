"""What the named data sets are known to hold, and their TFDS builders."""

import dataclasses

import grain
import numpy as np
import pytest

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import validate
from mmjax.data.core.splits import partition, split_labels
from mmjax.data.loading import load
from mmjax.data.registry import find, names
from mmjax.data.sets.common.amazon import OTHER_DRAW
from mmjax.data.sets.common.source import package_directory

ML_SMALL = "3ab517ae61d3ca8a2dd42ff2eb55d3b4e9ffefe431f98287643ed58560b27fc1"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def lastfm(root):
    return load("lastfm_2k", data_dir=root)


@pytest.fixture(scope="module")
def tiktok(root):
    return load("tiktok", data_dir=root)


def sizes(data):
    return (data.n_users, data.n_items, len(data.train), len(data.valid), len(data.test))


def users_without(data, split):
    return data.n_users - len(np.unique(data.pairs(split)[:, 0]))


def test_lastfm_2k(lastfm):
    validate(lastfm)
    assert sizes(lastfm) == (1858, 1425, 44327, 4799, 7219)
    assert lastfm.split == "mmrec"
    assert users_without(lastfm, "valid") == 75 and users_without(lastfm, "train") == 0
    assert np.isin(lastfm.test[:, 1], lastfm.train[:, 1]).all()
    widths = {name: array.shape[1] for name, array in lastfm.features.items()}
    assert widths == {"audio_vggish": 128, "audio_whisper": 512, "text": 384}
    norms = {name: np.linalg.norm(array, axis=1) for name, array in lastfm.features.items()}
    np.testing.assert_allclose(norms["text"], 1, atol=1e-3)
    assert 1450 < norms["audio_vggish"].mean() < 1500, "as published, not normalised"
    assert lastfm.titles[lastfm.title_index("new order")] == "New Order"
    assert lastfm.item_id(lastfm.title_index("New Order")) == "59"
    assert "synthpop" in lastfm.item_tags[lastfm.title_index("New Order")].split(",")
    assert lastfm.user_index(2) == 0


def test_popularity_on_lastfm_2k(lastfm):
    scores = np.bincount(lastfm.train[:, 1], minlength=lastfm.n_items)
    scores = np.tile(scores, (lastfm.n_users, 1))
    scores[tuple(lastfm.train.T)] = -1
    top = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    relevant = np.zeros((lastfm.n_users, lastfm.n_items), bool)
    relevant[tuple(lastfm.test.T)] = True
    hits = np.take_along_axis(relevant, top, axis=1).sum(axis=1)
    counts = relevant.sum(axis=1)
    # Published as .122; the order of equally popular artists moves the third digit.
    assert 0.121 < (hits[counts > 0] / counts[counts > 0]).mean() < 0.124


def test_tiktok(tiktok):
    validate(tiktok)
    assert sizes(tiktok) == (9308, 6710, 59541, 3051, 6130)
    assert tiktok.split == "mmssl"
    assert users_without(tiktok, "train") == 10
    assert tiktok.modalities == ("audio", "image")
    assert all(array.shape == (6710, 128) for array in tiktok.features.values())
    warm = tiktok.filter_cold_users()
    assert sizes(warm) == (9308, 6710, 59541, 3046, 6125)
    assert tiktok.titles is None and tiktok.user_ids is None


def test_ml_small_mm(root):
    data = load("ml_small_mm", data_dir=root)
    validate(data)
    assert (data.n_users, data.n_items) == (577, 926)
    assert sum(len(data.pairs(split)) for split in ("train", "valid", "test")) == 34784
    assert data.split == "random-8:1:1@0"
    assert all(users_without(data, split) == 0 for split in ("train", "valid", "test"))
    everything = np.concatenate([data.train, data.valid, data.test])
    for column in everything.T:
        assert np.bincount(column).min() >= 5, "the 5-core"
    assert {name: array.shape[1] for name, array in data.features.items()} == {
        "image": 102,
        "text": 128,
    }
    np.testing.assert_allclose(data.features["image"].std(0), 1, atol=5e-3)
    film = data.title_index("Casablanca (1942)")
    assert data.item_id(film) == "912" and data.item_tags[film] == "Drama,Romance"
    of_film = {name: a.classes[a.labels[film]] for name, a in data.attributes.items()}
    assert of_film["decade"] == "before 1950" and of_film["genre"] == "Romance"
    assert of_film["popularity"] == "super popular" and of_film["acclaim"] == "high"
    assert {name: len(a.classes) for name, a in data.attributes.items()} == {
        "acclaim": 4,
        "certificate": 7,
        "decade": 6,
        "genre": 18,
        "language": 3,
        "popularity": 4,
        "studio": 18,
    }
    for labels, classes in data.attributes.values():
        assert labels.dtype == np.int32 and set(labels) == set(range(len(classes)))
    again = load("ml_small_mm", data_dir=root)
    direct = find("ml_small_mm").read(package_directory("ml_small_mm"))
    assert again.digest == data.digest == direct.digest == ML_SMALL


def test_films_are_of_their_decade(root):
    data = load("ml_small_mm", data_dir=root)
    labels, classes = data.attributes["decade"]
    for title, label in zip(data.titles, labels, strict=True):
        year = int(title.strip()[-5:-1])
        known = {**{f"{d}s": range(d, d + 10) for d in range(1950, 1990, 10)}}
        known |= {"before 1950": range(1950), "1990 and later": range(1990, 2019)}
        assert year in known[classes[label]]


def test_text_and_votes_become_features_and_classes():
    from mmjax.data.sets.ml_small_mm import prepare

    levels = ("a", "b", "c", "d")
    assert prepare.quarters([float(n) for n in range(8)], levels) == [
        "a",
        "a",
        "b",
        "b",
        "c",
        "c",
        "d",
        "d",
    ]
    assert prepare.frequent(["x", "y", "", "x"], min_count=2) == ["x", "other", "other", "x"]
    animals = ["cat dog"] * 4 + ["cat bird"] * 4
    x = prepare.tfidf_svd([*animals, *["sun moon"] * 4, *["rain snow"] * 20], width=3)
    assert x.shape == (32, 3)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9)
    cosine = unit @ unit.T
    assert cosine[0, 1] > 0.999 and abs(cosine[0, 9]) < 1e-6


def test_poster_features_tell_colour_and_direction():
    import io

    from PIL import Image

    from mmjax.data.sets.ml_small_mm import prepare

    def features(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        return prepare.poster_features(file.getvalue())

    red = np.zeros((138, 92, 3))
    red[..., 0] = 255
    stripes = np.repeat((np.arange(92) // 4 % 2)[None, :, None], 138, 0) * np.full(3, 255)
    one, two = features(red), features(stripes)
    assert one.shape == two.shape == (102,)
    assert one[0] == 1 and one[:12].sum() == 1, "the first hue is red"
    np.testing.assert_allclose(one[18:36].reshape(6, 3), np.tile([1.0, 0, 0], (6, 1)))
    edges = two[54:].reshape(6, 8)
    assert (edges[:, 0] > 0.1).all() and np.abs(edges[:, 1:]).max() < 1e-6
    assert np.isfinite(features(np.zeros((10, 10, 3)))).all()


@pytest.mark.parametrize("name", names("interactions"))
def test_builders_say_what_they_are(name, tmp_path, builder_of):
    source, info = find(name), builder_of(name)(data_dir=tmp_path).info
    assert info.full_name == f"{name}/interactions/{source.version}"
    assert info.homepage == source.homepage
    assert info.citation.startswith(("@inproceedings{", "@article{"))
    assert len(info.description) > 200
    assert info.redistribution_info.license == source.licence
    assert builder_of(name).get_metadata().tags


def test_a_builder_works_without_load(tmp_path, lastfm, builder_of):
    builder = builder_of("lastfm_2k")
    interactions = builder(data_dir=tmp_path, file_format="array_record")
    interactions.download_and_prepare()
    assert set(interactions.info.splits) == {"train", "valid", "test"}
    assert interactions.info.splits["valid"].num_examples == 1858 - 75
    records = interactions.as_data_source("train")
    user = int(records[3]["user"])
    expected = lastfm.train[lastfm.train[:, 0] == user][:, 1]
    np.testing.assert_array_equal(records[3]["items"], expected)
    items = builder(data_dir=tmp_path, config="items", file_format="array_record")
    items.download_and_prepare()
    stream = grain.MapDataset.source(items.as_data_source("items")).map(lambda r: r["text"])
    batch = next(iter(stream.batch(4)))
    np.testing.assert_array_equal(batch, lastfm.features["text"][:4])


def save_index_arrays(directory, data, **names):
    arrays = {"n_users": data.n_users, "n_items": data.n_items}
    for split in ("train", "valid", "test"):
        pairs = data.pairs(names.get(split, split))
        arrays |= {f"{split}_user": pairs[:, 0], f"{split}_item": pairs[:, 1]}
    directory.mkdir(parents=True, exist_ok=True)
    np.savez(directory / "interactions.npz", **arrays)


@pytest.mark.parametrize("place", ["manual", "manual/baby", "manual/amazon_baby"])
def test_amazon_from_a_folder_of_the_user(baby, tmp_path, place, save_folder):
    save_folder(baby, tmp_path / place)
    data = load("amazon_baby", data_dir=tmp_path)
    assert data.digest == baby.digest
    assert data.split == "mmrec"
    assert load("amazon_baby", data_dir=tmp_path / "x", manual_dir=tmp_path / place).digest == (
        baby.digest
    )


def test_amazon_says_what_is_missing_and_where_it_goes(baby, tmp_path, save_folder):
    with pytest.raises(FileNotFoundError) as caught:
        load("amazon_baby", data_dir=tmp_path)
    for word in (
        str(tmp_path / "manual" / "amazon_baby"),
        "baby.inter or baby.inter.gz or interactions.npz",
        "image_feat.npy, text_feat.npy",
        "https://github.com/enoche/MMRec",
        "manual_dir",
        "allow_missing_features=True",
    ):
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    save_folder(baby, tmp_path / "mine")
    (tmp_path / "mine" / "baby.inter").unlink()
    with pytest.raises(FileNotFoundError, match="interactions.npz. Get them"):
        load("amazon_baby", data_dir=tmp_path, manual_dir=tmp_path / "mine")


def test_a_modality_may_be_missing_if_allowed(baby, tmp_path, save_folder):
    save_folder(baby, tmp_path / "mine")
    (tmp_path / "mine" / "image_feat.npy").unlink()
    options = {"data_dir": tmp_path, "manual_dir": tmp_path / "mine"}
    with pytest.raises(FileNotFoundError, match="lacks image_feat.npy. "):
        load("amazon_baby", **options)
    less = load("amazon_baby", **options, allow_missing_features=True)
    assert less.digest == baby.with_features(image=None).digest
    with pytest.raises(FileNotFoundError, match="lacks image_feat.npy. "):
        load("amazon_baby", **options)
    np.save(tmp_path / "mine" / "image_feat.npy", baby.features["image"])
    assert load("amazon_baby", **options).digest == baby.digest


def test_changed_files_make_the_cache_stale(baby, tmp_path, save_folder):
    options = {"data_dir": tmp_path / "data", "manual_dir": tmp_path / "mine"}
    save_folder(baby, tmp_path / "mine")
    assert load("amazon_baby", **options).digest == baby.digest
    text = baby.features["text"] + 1
    np.save(tmp_path / "mine" / "text_feat.npy", text)
    assert load("amazon_baby", **options).digest == baby.with_features(text=text).digest
    assert len(list((tmp_path / "data" / "amazon_baby").iterdir())) == 1, "the old one is gone"


@pytest.mark.parametrize("swapped", [False, True])
def test_index_arrays_come_out_the_right_way_round(baby, tmp_path, swapped):
    names = {"valid": "test", "test": "valid"} if swapped else {}
    save_index_arrays(tmp_path / "mine", baby, **names)
    data = load(
        "amazon_baby", data_dir=tmp_path, manual_dir=tmp_path / "mine", allow_missing_features=True
    )
    plain = dataclasses.replace(baby, features={}, user_ids=None, item_ids=None)
    assert data.digest == plain.digest


def test_another_draw_of_the_same_rule_is_not_called_published(baby, tmp_path, save_folder):
    pairs = np.concatenate([baby.train, baby.valid, baby.test])
    train, valid, test = partition(pairs, split_labels("mmrec", pairs[:, 0], seed=9))
    save_folder(dataclasses.replace(baby, train=train, valid=valid, test=test), tmp_path / "mine")
    assert load("amazon_baby", data_dir=tmp_path, manual_dir=tmp_path / "mine").split == OTHER_DRAW


def test_another_version_of_the_data_is_refused(baby, tmp_path, save_folder):
    save_folder(dataclasses.replace(baby, train=baby.train[:-1]), tmp_path / "mine")
    with pytest.raises(DataError, match="but the published amazon_baby has 40 users.*load_mmrec"):
        load("amazon_baby", data_dir=tmp_path / "data", manual_dir=tmp_path / "mine")
    save_index_arrays(tmp_path / "arrays", dataclasses.replace(baby, valid=baby.valid[1:]))
    with pytest.raises(DataError, match="interactions.npz: not MMRec's split"):
        load(
            "amazon_baby",
            data_dir=tmp_path / "data",
            manual_dir=tmp_path / "arrays",
            allow_missing_features=True,
        )
    assert not list((tmp_path / "data").rglob("*"))


def change_index_arrays(path, **changes):
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays |= changes
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_item": None}, "no array test_item; it holds n_users, n_items, train_user"),
        ({"n_users": np.float64(40)}, r"n_users is float64\[\]; give an integer"),
        ({"train_user": np.zeros((3, 2), int)}, r"train_user is int64\[3, 2\]; give a flat"),
        ({"train_user": np.zeros(3, np.float32)}, r"train_user is float32\[3\]"),
        ({"train_user": np.zeros(3, int)}, "3 entries in train_user"),
        ({"n_items": np.int64(7)}, r"train_item, row \d+: item id \d+ is out of range \(0..6\)"),
        ({"n_users": np.array([{}], object)}, "pickled Python objects"),
    ],
)
def test_bad_index_arrays_are_named(baby, tmp_path, changes, says):
    save_index_arrays(tmp_path, baby)
    change_index_arrays(tmp_path / "interactions.npz", **changes)
    with pytest.raises(DataError, match=says) as caught:
        find("amazon_baby").read(tmp_path)
    assert str(tmp_path / "interactions.npz") in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "text"])
def test_damaged_index_arrays_are_named(baby, tmp_path, damage):
    save_index_arrays(tmp_path, baby)
    path = tmp_path / "interactions.npz"
    raw = bytearray(path.read_bytes())
    if damage == "changed":
        raw[len(raw) // 2] ^= 255
    path.write_bytes({"empty": b"", "cut": raw[:-60], "changed": raw, "text": b"a,b\n"}[damage])
    with pytest.raises(DataError, match="interactions.npz: (the file is empty|truncated|holds)"):
        find("amazon_baby").read(tmp_path)


def test_a_builder_reads_the_manual_folder(baby, tmp_path, save_folder, builder_of):
    import tensorflow_datasets as tfds

    save_folder(baby, tmp_path / "mine")
    builder = builder_of("amazon_baby")(
        data_dir=tmp_path / "data", config="items", file_format="array_record"
    )
    assert "baby.inter and image_feat.npy and text_feat.npy" in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / "mine")
    )
    record = builder.as_data_source("items")[7]
    assert record["raw_id"] == b"B7"
    np.testing.assert_array_equal(record["image"], baby.features["image"][7])
