"""Pictures of every mode: the right brightness, the right way up, or one error."""

import io

import numpy as np
import pytest

from mmjax.data.core.pictures import as_bytes, open_rgb

Image = pytest.importorskip("PIL.Image")
GREY = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def stored(picture, kind="PNG", **options):
    """The bytes of a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def numbers(picture):
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize(
    "array",
    [
        GREY.astype(np.uint16) * 257,
        GREY.astype(np.int32) * 257,
        GREY.astype(np.int32),
        GREY.astype(np.float32) / 255,
        GREY.astype(np.float32),
        GREY.astype(np.float32) * 257,
    ],
    ids=lambda array: f"{array.dtype}-{array.max():g}",
)
def test_wide_greys_keep_their_brightness(array):
    np.testing.assert_allclose(numbers(open_rgb(Image.fromarray(array)))[..., 0], GREY, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_files_of_sixteen_bits(kind):
    picture = Image.fromarray(GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(numbers(open_rgb(stored(picture, kind)))[..., 1], GREY)
    # A dark one: all its numbers would fit 8 bits.
    dark = Image.fromarray(GREY.astype(np.uint16))
    assert numbers(open_rgb(stored(dark, kind))).max() == 1


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK", "L", "1", "LA", "RGBA", "PA", "YCbCr", "HSV"])
def test_other_modes_show_the_same_picture(mode):
    flat = Image.new("RGB", (8, 6), (255, 255, 255))
    flat.paste((0, 0, 0), (0, 0, 4, 6))
    got = numbers(open_rgb(flat.convert(mode)))
    np.testing.assert_allclose(got, numbers(flat), atol=2)


def test_cmyk_of_a_jpeg_file_is_not_inverted():
    content = stored(Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK"), "JPEG", quality=95)
    np.testing.assert_allclose(numbers(open_rgb(content)).mean((0, 1)), (250, 10, 10), atol=8)


def test_what_is_transparent_is_white():
    clear = np.concatenate([COLOUR, np.zeros((6, 8, 1), np.uint8)], 2)
    assert (numbers(open_rgb(stored(Image.fromarray(clear)))) == 255).all()
    palette = Image.fromarray(GREY % 4).convert("P")
    content = stored(palette, transparency=bytes([0, 255, 255, 255]))
    got = numbers(open_rgb(content))
    assert (got[GREY % 4 == 0] == 255).all()
    assert (got[GREY % 4 == 1] != 255).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_right_way_up(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    upright = numbers(open_rgb(stored(Image.fromarray(COLOUR), exif=exif)))
    ways = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: np.rot90(COLOUR, -1),
        7: COLOUR[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLOUR),
    }
    np.testing.assert_array_equal(upright, ways[turn])


def test_of_an_animation_the_first_frame():
    frames = [Image.new("RGB", (8, 6), c) for c in ((200, 0, 0), (0, 200, 0))]
    content = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(numbers(open_rgb(content))[0, 0], (200, 0, 0), atol=3)


def test_faults_say_why(monkeypatch, tmp_path):
    whole = stored(Image.fromarray(COLOUR))
    for content in (whole[:60], b"", b"no picture"):
        with pytest.raises(ValueError, match="."):
            open_rgb(content)
    with pytest.raises(ValueError, match="nowhere"):
        open_rgb(tmp_path / "nowhere.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ValueError, match="exceeds limit"):
        open_rgb(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # half of what is refused: read
    np.testing.assert_array_equal(numbers(open_rgb(whole)), COLOUR)


@pytest.mark.parametrize("bad", [[[-1.0]], [[np.nan]], [[70_000]]])
def test_numbers_of_no_known_range_are_refused(bad):
    with pytest.raises(ValueError, match=r"0\.\.1"):
        as_bytes(np.array(bad))
    with pytest.raises(ValueError, match="give numbers"):
        as_bytes(np.array([["a"]]))
