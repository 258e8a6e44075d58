"""Images prepared for a model, by the `preprocessor_config.json` of its publisher.

Axes: b images, y rows and x columns of pixels.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

from mmjax.data.core.pictures import as_bytes, open_rgb
from mmjax.encoders.loading.weights import WeightsError, as_pair

CONFIG_FILE = "preprocessor_config.json"
_HALF = (0.5, 0.5, 0.5)
_CLIP = {
    "resize": 224,
    "resample": 3,
    "crop": (224, 224),
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
_KINDS: dict[str, dict[str, Any]] = {
    "vit": {"resize": (224, 224), "resample": 2, "crop": None, "mean": _HALF, "std": _HALF},
    "deit": {"resize": (256, 256), "resample": 3, "crop": (224, 224), "mean": _HALF, "std": _HALF},
    "clip": _CLIP,
    "bit": _CLIP,
}
# What a kind does where the file says nothing. One number as the size is a square to some, the
# shorter side to others.
_SQUARE = ("vit", "deit")


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop the centre, scale, normalise; the defaults are CLIP's."""

    resize: int | tuple[int, int] = 224
    """Rows and columns, or the length of the shorter side."""
    crop: tuple[int, int] | None = (224, 224)
    """Rows and columns of the centre that is kept; None: all is."""
    resample: int = 3
    """Interpolation, by Pillow's number: 2 is linear, 3 cubic."""
    factor: float = 1 / 255
    """On the numbers 0 to 255."""
    mean: tuple[float, ...] = _CLIP["mean"]
    """Taken off, a channel."""
    std: tuple[float, ...] = _CLIP["std"]
    """Divided by, a channel."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any], family: str) -> "Preprocess":
        """From a ``preprocessor_config.json``; what it leaves out is the default of its kind.

        Args:
            content: of the file.
            family: kind where the file names none: ``vit``, ``deit`` or ``clip``.

        Raises:
            WeightsError: another kind, or one whose images are of different sizes.
        """
        named = content.get("image_processor_type") or content.get("feature_extractor_type") or ""
        kind = named.lower()
        for ending in ("imageprocessorfast", "imageprocessorpil", "imageprocessor"):
            kind = kind.removesuffix(ending)
        kind = kind.removesuffix("featureextractor") or family
        if kind not in _KINDS:
            raise WeightsError(f"{CONFIG_FILE}: {named or family} is none of {', '.join(_KINDS)}")
        usual = _KINDS[kind]
        for name in ("do_resize", "do_convert_rgb"):
            if content.get(name, True) is False:
                raise WeightsError(f"{CONFIG_FILE}: {name} false is not supported")
        resize = _resize(content["size"], kind in _SQUARE) if "size" in content else usual["resize"]
        crop = None
        if content.get("do_center_crop", usual["crop"] is not None):
            value = content.get("crop_size", usual["crop"] or (224, 224))
            crop = _pair(value, "crop_size")
        smallest = (resize, resize) if isinstance(resize, int) else resize
        if crop is None and isinstance(resize, int):
            raise WeightsError(f"{CONFIG_FILE}: without a crop, images would be of different sizes")
        if crop is not None and (crop[0] > smallest[0] or crop[1] > smallest[1]):
            raise WeightsError(
                f"{CONFIG_FILE}: crop {crop} is more than is left by size {smallest}"
            )
        found = {
            "resize": resize,
            "crop": crop,
            "resample": content.get("resample", usual["resample"]),
            "factor": content.get("rescale_factor", 1 / 255),
            "mean": tuple(content.get("image_mean") or usual["mean"]),
            "std": tuple(content.get("image_std") or usual["std"]),
        }
        if content.get("do_rescale", True) is False:
            found["factor"] = 1.0
        if content.get("do_normalize", True) is False:
            found |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
        return cls(**found)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of what comes out."""
        if self.crop is not None:
            return self.crop
        return (self.resize, self.resize) if isinstance(self.resize, int) else self.resize

    def cut(self, image: Any) -> UInt8[np.ndarray, "y x 3"]:
        """An RGB image of Pillow, resized and cropped."""
        columns, rows = image.size
        if isinstance(self.resize, int):
            short = min(rows, columns)
            target = (int(self.resize * rows / short), int(self.resize * columns / short))
        else:
            target = self.resize
        image = image.resize((target[1], target[0]), resample=self.resample)
        if self.crop is not None:
            top, left = (target[0] - self.crop[0]) // 2, (target[1] - self.crop[1]) // 2
            image = image.crop((left, top, left + self.crop[1], top + self.crop[0]))
        return np.asarray(image)

    def normalise(self, pixels: UInt8[Array, "b y x 3"]) -> Float[Array, "b y x 3"]:
        """Input of the model: ``(factor * pixels - mean) / std``, float32."""
        scaled = pixels.astype(jnp.float32) * self.factor
        mean, std = (jnp.array(x, jnp.float32).reshape(1, 1, 1, 3) for x in (self.mean, self.std))
        return (scaled - mean) / std


def _resize(value: Any, square: bool) -> int | tuple[int, int]:
    if isinstance(value, Mapping) and set(value) == {"shortest_edge"}:
        return int(value["shortest_edge"])
    return value if isinstance(value, int) and not square else _pair(value, "size")


def _pair(value: Any, name: str) -> tuple[int, int]:
    if isinstance(value, Mapping):
        if set(value) != {"height", "width"}:
            raise WeightsError(f"{CONFIG_FILE}: {name} {dict(value)} is not supported")
        value = (value["height"], value["width"])
    return as_pair(value)


ImageLike = Any
"""A path, an image of Pillow, or an array ``[y, x]`` or ``[y, x, 1, 3 or 4]`` of uint8, or of wider
numbers in one of the ranges of `data.core.pictures.as_rgb`."""


def open_image(image: ImageLike, n: int) -> Any:
    """The RGB image of Pillow that entry `n` stands for, turned as its camera says, on white.

    Brightness of wide greys and floats as `data.core.pictures.as_rgb` says; of an animation the
    first frame.

    Raises:
        ValueError: it is no image, one of unknown brightness, or a file that is missing, damaged
            or too large; `n` and the file are named.
        ImportError: Pillow is not installed.
    """
    where = f"image {n}"
    try:
        if isinstance(image, str | os.PathLike):
            where = f"image {n} ({os.fspath(image)})"
        elif isinstance(image, np.ndarray):
            image = _of_array(image)
        elif not hasattr(image, "convert"):
            raise ValueError(f"a {type(image).__name__} is no path, image of Pillow or array")
        return open_rgb(image)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _of_array(image: np.ndarray) -> Any:
    from PIL import Image

    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or not image.size:
        raise ValueError(
            f"array {image.dtype} {image.shape}; give [rows, columns] or [rows, columns, 1, 3 or "
            "4], not empty"
        )
    flat = image[:, :, 0] if image.ndim == 3 and channels == 1 else image
    return Image.fromarray(np.ascontiguousarray(as_bytes(flat)))


def image_bytes(image: ImageLike, n: int) -> tuple[bytes, ...]:
    """Bytes that tell an image from others: those of the file, or the size and the pixels.

    Raises:
        ValueError: as `open_image`.
    """
    if isinstance(image, str | os.PathLike):
        try:
            return (b"file", Path(image).read_bytes())
        except OSError as error:
            raise ValueError(f"image {n} ({os.fspath(image)}): {error}") from error
    rgb = open_image(image, n)
    return (b"rgb", repr(rgb.size).encode(), rgb.tobytes())


def check_images(images: Sequence[ImageLike] | np.ndarray) -> None:
    """Refuse one image where several are expected.

    Raises:
        ValueError: naming what was given.
    """
    if isinstance(images, str | os.PathLike) or (
        isinstance(images, np.ndarray) and images.dtype != object and images.ndim != 4
    ):
        raise ValueError("encode wants a sequence of images, or one array [images, y, x, channels]")
