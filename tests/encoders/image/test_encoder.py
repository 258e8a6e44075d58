"""Images to vectors: what comes in, the folder's word, damaged files, the cache."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from mmjax.encoders.image.encoder import load_image_encoder
from mmjax.encoders.loading.weights import WeightsError
from tests.encoders.sentences import clip_folder
from tests.parity.common.records import stored, with_prefix
from tests.parity.encoders.case import CASES, publish
from tests.parity.pixels.case import images

PREPARED = {"image_processor_type": "ViTImageProcessor", "size": {"height": 6, "width": 4}}


def tensors(name):
    return with_prefix(stored("encoders", name), "state/")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = publish(tmp_path_factory.mktemp("vit"), CASES["vit"], tensors("vit"))
    (path / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return load_image_encoder(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path, found = tmp_path_factory.mktemp("files"), []
    for n, image in enumerate(images()):
        Image.fromarray(image).save(path / f"{n}.png")
        found.append(path / f"{n}.png")
    return found


def test_vectors_follow_their_definition(encoder, files):
    assert repr(encoder) == "ImageEncoder(ViT, width 8, cls pooling, 6 x 4 pixels)"
    got = encoder.encode(files, batch_size=3, progress=False)
    pixels = encoder.preprocess.normalise(jnp.asarray(encoder.read(files)))
    first = np.asarray(jax.jit(encoder.model.apply)({"params": encoder.params}, pixels).last)[:, 0]
    assert_allclose(got, first / np.linalg.norm(first, axis=1, keepdims=True), atol=1e-5)
    assert got.dtype == np.float32
    layers = replace(encoder, layers=True, pooling="mean", normalise=False)
    states = jax.jit(encoder.model.apply)({"params": encoder.params}, pixels).hidden
    means = np.stack([x[:, 1:].mean(1) for x in states], 1)  # of patches
    assert_allclose(layers.encode(files, progress=False), means, atol=1e-5)


def test_paths_images_and_arrays_are_one(encoder, files):
    want = encoder.read(files)
    arrays = images()
    mixed = [str(files[0]), Image.open(files[1]), arrays[2], arrays[3]]
    assert_array_equal(encoder.read(mixed), want)
    assert_array_equal(encoder.read(np.stack(arrays[:1])), want[:1])
    assert encoder.read([]).shape == (0, 6, 4, 3)
    assert encoder.encode([], progress=False).shape == (0, 8)
    grey = np.arange(72, dtype=np.uint8).reshape(9, 8)
    colour = np.repeat(grey[:, :, None], 3, 2)
    opaque = np.concatenate([colour, np.full((9, 8, 1), 255, np.uint8)], 2)
    wide = grey.astype(np.uint16) * 257
    got = encoder.read([grey, grey[:, :, None], colour, opaque, wide])
    assert (got == got[0]).all()


def test_a_camera_on_its_side(encoder, tmp_path):
    image = Image.fromarray(images()[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    turned = image.transpose(Image.Transpose.ROTATE_270)
    assert_array_equal(encoder.read([tmp_path / "a.png"]), encoder.read([turned]))


def test_damaged_images_are_named(encoder, files, tmp_path):
    whole = files[0].read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no image"):
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"image 1 \(.*x\.png\): "):
            encoder.encode([files[0], tmp_path / "x.png"], progress=False)
    for cache in (None, tmp_path):
        with pytest.raises(ValueError, match=r"image 0 \(.*nowhere"):
            encoder.encode([tmp_path / "nowhere"], progress=False, cache=cache)
    with pytest.raises(ValueError, match=r"image 0: pixels in -1\.\.1; give numbers in 0\.\.1"):
        encoder.encode([np.array([[1, -1.0]], np.float32)], progress=False)
    with pytest.raises(ValueError, match=r"image 0: array uint8 \(0, 3\); give"):
        encoder.encode([np.ones((0, 3), np.uint8)], progress=False)
    with pytest.raises(ValueError, match="image 0: a int is no path"):
        encoder.encode([3], progress=False)
    for one in (str(files[0]), images()[0]):
        with pytest.raises(ValueError, match="a sequence of images"):
            encoder.encode(one, progress=False)
    with pytest.raises(ValueError, match="positive batch size"):
        encoder.encode(files, batch_size=0)


def test_a_damaged_image_costs_only_itself(encoder, files, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="image 4"):
        encoder.encode(
            [*files, tmp_path / "x.png"], batch_size=2, progress=False, cache=tmp_path / "c"
        )
    (tmp_path / "x.png").write_bytes(files[0].read_bytes())
    seen = []
    run = encoder._run
    object.__setattr__(encoder, "_run", lambda x: seen.append(len(x)) or run(x))
    got = encoder.encode([*files, tmp_path / "x.png"], progress=False, cache=tmp_path / "c")
    object.__setattr__(encoder, "_run", run)
    assert seen == [2]  # two of four were on disk, and the fifth is the first again
    assert_array_equal(got[4], got[0])
    assert_allclose(got[:4], encoder.encode(files, progress=False), atol=1e-5)


def test_clip_images(tmp_path, files):
    encoder = load_image_encoder(clip_folder(tmp_path), normalise=False)
    assert repr(encoder) == "ImageEncoder(ClipVision, width 5, own pooling, 7 x 7 pixels)"
    got = encoder.encode(files, progress=False)
    pixels = encoder.preprocess.normalise(jnp.asarray(encoder.read(files)))
    want = jax.jit(encoder.model.apply)({"params": encoder.params}, pixels).projected
    assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_processor_type": "SamImageProcessor"}, "SamImageProcessor is none of vit, deit"),
        ({"do_resize": False}, "do_resize false is not supported"),
        ({"size": {"longest_edge": 4}}, "size {'longest_edge': 4} is not supported"),
        ({"size": {"shortest_edge": 6}}, "images would be of different sizes"),
        ({"do_center_crop": True, "crop_size": 9}, r"crop \(9, 9\) is more than is left"),
        ({"size": {"height": 4, "width": 6}}, r"images of \(4, 6\) pixels, .*mixes two models"),
    ],
)
def test_preparation_that_does_not_fit_is_refused(folder, tmp_path, change, said):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**PREPARED, **change}))
    with pytest.raises(WeightsError, match=said):
        load_image_encoder(tmp_path)
    path.unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json is missing"):
        load_image_encoder(tmp_path)


def test_other_models_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "swin"}))
    with pytest.raises(WeightsError, match="'swin' is not among the image encoders vit, deit"):
        load_image_encoder(tmp_path)
