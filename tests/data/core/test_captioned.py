"""Images with captions: the shipped emoji, their TFDS form, and the files of Flickr and COCO."""

import io
import json
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from numpy.testing import assert_array_equal
from PIL import Image

from mmjax.data import DataError, builder, load, load_caption_files
from mmjax.data.core.captioned import CAPTION, PSEUDO, CaptionedImages


@pytest.fixture(scope="module")
def emoji():
    return load("noto_emoji")


def test_the_shipped_emoji(emoji):
    assert [len(emoji.images_of(s)) for s in ("train", "valid", "test")] == [1304, 169, 180]
    heart = emoji.image_ids.index("2764")
    said = [t for t, n in zip(emoji.text, emoji.image, strict=True) if n == heart]
    assert said == ["red heart", "emotion, heart, love, red"]
    pixels = emoji.pixels(np.array([heart, 0]), 24)
    assert pixels.shape == (2, 24, 24, 3) and pixels.dtype == np.uint8
    red, green, blue = pixels[0, 12, 12].tolist()
    assert red > 150 > 100 > max(green, blue)
    assert (pixels[0, 0, 0] > 245).all()


def test_some_images_with_their_texts(emoji):
    rows = np.array([3, 5, 40])
    some = emoji.subset(rows)
    assert some.image_ids == tuple(emoji.image_ids[n] for n in rows)
    assert_array_equal(some.split, emoji.split[rows])
    for place, row in enumerate(rows):
        own = [t for t, n in zip(some.text, some.image, strict=True) if n == place]
        assert own == [t for t, n in zip(emoji.text, emoji.image, strict=True) if n == row]
        assert some.encoded(place) == emoji.encoded(int(row))
    assert some.digest == emoji.subset(rows).digest != emoji.digest
    assert emoji.digest == load("noto_emoji").digest


def test_true_captions_of_the_test_are_never_trained_on(emoji):
    trained, queries = emoji.training_texts(), emoji.captions_of("test")
    assert not set(trained) & (set(queries) | set(emoji.captions_of("valid")))
    assert set(emoji.image[queries]) == set(emoji.images_of("test"))
    kinds = emoji.kind[trained]
    assert (emoji.split[emoji.image[trained[kinds == CAPTION]]] == 0).all()
    assert len(trained) == (emoji.kind == PSEUDO).sum() + 1304


def test_emoji_as_tfds(emoji, tmp_path, capsys):
    instance = builder("noto_emoji")(data_dir=tmp_path, file_format="array_record")
    instance.download_and_prepare()
    found = instance.as_data_source("test")
    rows = emoji.images_of("test")
    assert len(found) == len(rows)
    assert found[3]["image"] == emoji.encoded(int(rows[3]))
    assert found[3]["id"].decode() == emoji.image_ids[rows[3]]


def _jpeg(shade):
    out = io.BytesIO()
    Image.new("RGB", (8, 4), (shade,) * 3).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Three images in the three forms of captions, which later tests take away."""
    (tmp_path / "pictures").mkdir()
    parts = {"a.png": "train", "b.png": "val", "c.png": "test"}
    for shade, name in enumerate(parts):
        (tmp_path / "pictures" / name).write_bytes(_jpeg(50 * shade))
    said = {name: [f"one  {name}", f"two {name}"] for name in parts}
    karpathy = [
        {"filename": n, "split": s, "sentences": [{"raw": t} for t in said[n]]}
        for n, s in parts.items()
    ]
    (tmp_path / "dataset_flickr30k.json").write_text(json.dumps({"images": karpathy}))
    own = {n: {"split": s, "caption": said[n]} for n, s in parts.items()}
    (tmp_path / "flickr30k_split_captions.json").write_text(json.dumps(own))
    import pyarrow as pa
    from pyarrow import parquet

    rows = [(n, s, t) for n, s in parts.items() for t in said[n]]
    image, split, caption = map(list, zip(*rows, strict=True))
    table = pa.table({"image": image, "split": split, "caption": caption})
    parquet.write_table(table, tmp_path / "captions_small.parquet")
    queries = [{"image_id": "c.png", "caption": ["a grey card"]}]
    (tmp_path / "pseudo_query.json").write_text(json.dumps(queries))
    return tmp_path


def test_three_forms_of_captions_are_one(folder):
    found = []
    for file in ("dataset_flickr30k.json", "flickr30k_split_captions.json", None):
        found.append(load("flickr30k", manual_dir=folder))
        if file:
            (folder / file).unlink()
    for data in found:
        assert data.image_ids == ("a.png", "b.png", "c.png")
        assert data.split.tolist() == [0, 1, 2] and data.kind.tolist() == [CAPTION] * 6 + [PSEUDO]
        assert data.text[:2] == ("one a.png", "two a.png")
        assert [data.text[n] for n in data.training_texts()] == [*data.text[:2], "a grey card"]
    pixels = found[2].pixels(np.array([1, 2]), 8)
    assert pixels[:, 4, 4, 0].tolist() == [50, 100]
    assert (pixels[:, 0] == 255).all()  # what an image twice as wide as high leaves
    pictures = sorted((folder / "pictures").iterdir())
    with zipfile.ZipFile(folder / "images_all.zip", "w") as archive:
        for path in pictures:
            archive.write(path, f"any/{path.name}")
            path.unlink()
    packed = load("flickr30k", manual_dir=folder)
    assert packed.encoded(1) == _jpeg(50)


def test_own_captions_under_any_name(folder):
    (folder / "dataset_flickr30k.json").rename(folder / "dataset_mine.json")
    data = load_caption_files(folder, "mine")
    assert (data.name, len(data.image_ids)) == ("mine", 3)
    assert data.source == "where they are published, split of dataset_mine.json"


def test_captions_as_tfds(folder, tmp_path, capsys):
    made = builder("flickr30k")(data_dir=tmp_path / "tfds", file_format="array_record")
    assert "Put dataset_flickr30k.json or " in made.MANUAL_DOWNLOAD_INSTRUCTIONS
    made.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder, try_download_gcs=False)
    )
    assert [len(made.as_data_source(s)) for s in ("train", "valid", "test")] == [1, 1, 1]
    record = made.as_data_source("test")[0]
    assert record["captions"].decode() == "one c.png\ntwo c.png"
    assert record["pseudo_queries"].decode() == "a grey card"
    assert (record["id"].decode(), record["image"]) == ("c.png", _jpeg(100))


def test_bad_files(folder, tmp_path):
    with pytest.raises(ValueError, match="no data set 'imagenet'; choose .*load_caption_files"):
        load("imagenet", kind="captioned")
    with pytest.raises(FileNotFoundError, match=r"no dataset_coco.json.*cocodataset"):
        load("coco", manual_dir=tmp_path / "none")
    (folder / "pseudo_query.json").write_text('[{"image_id": "z.png", "caption": ["x"]}]')
    with pytest.raises(DataError, match="z.png is no image"):
        load("flickr30k", manual_dir=folder)
    (folder / "pseudo_query.json").unlink()
    (folder / "pictures" / "b.png").write_bytes(b"no image")
    data = load("flickr30k", manual_dir=folder)
    with pytest.raises(DataError, match=r"b.png cannot be read"):
        data.pixels(np.array([1]), 8)
    (folder / "pictures" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 3 images, such as b.png"):
        load("flickr30k", manual_dir=folder)
    (folder / "dataset_flickr30k.json").write_text('{"images": [{"filename": "a"}]}')
    with pytest.raises(DataError, match="not as expected"):
        load("flickr30k", manual_dir=folder)


def test_bad_arrays_are_refused():
    def made(**changes):
        one = {
            "name": "x",
            "image_ids": ("a", "b"),
            "split": np.array([0, 1], np.int32),
            "text": ("one",),
            "image": np.array([1], np.int32),
            "kind": np.array([0], np.int32),
            "encoded": lambda row: b"",
            "source": "",
        }
        return CaptionedImages(**{**one, **changes})

    assert made().images_of("valid").tolist() == [1]
    for changes, match in (
        ({"image": np.array([2], np.int32)}, "image 2 is out of range"),
        ({"image_ids": ("a", "a")}, "2 images with 1 ids"),
        ({"text": (" ",)}, "of b, has no words"),
        ({"split": np.array([0], np.int32)}, "1 splits"),
    ):
        with pytest.raises(DataError, match=match):
            made(**changes)
