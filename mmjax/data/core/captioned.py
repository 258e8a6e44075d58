"""Images with texts about them, for retrieval by text.

Axes: n images, m some of them, t texts, c channels.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from mmjax.data.core.checks import DataError, check_ids
from mmjax.data.core.pictures import open_rgb

SPLITS = ("train", "valid", "test")
Split = Literal["train", "valid", "test"]
CAPTION, PSEUDO = 0, 1
"""Kinds of texts: captions, the queries of a split; and pseudo queries, which tell a model that has
to memorise an image what its own captions may not (arXiv 2407.17274)."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CaptionedImages:
    """Images in the order of their source, and texts about them.

    Attributes:
        name: name of the data set.
        image_ids: raw ids, each once.
        split: place of each image's split in `SPLITS`, int32 ``[n]``.
        text: of each text.
        image: the image that it is about, int32 ``[t]``.
        kind: `CAPTION` or `PSEUDO`, int32 ``[t]``.
        encoded: gives the file of an image, such as JPEG.
        source: where they came from, for people.

    Raises:
        DataError: on construction, if an id repeats, an image or a kind is out of range, a text
            has no words, or lengths differ.
    """

    name: str
    image_ids: tuple[str, ...]
    split: Int32[np.ndarray, "n"]
    text: tuple[str, ...]
    image: Int32[np.ndarray, "t"]
    kind: Int32[np.ndarray, "t"]
    encoded: Callable[[int], bytes]
    source: str

    def __post_init__(self) -> None:
        n, t = len(self.image_ids), len(self.text)
        if len(self.split) != n or len(self.image) != t or len(self.kind) != t:
            raise DataError(
                f"{self.name}: {n} images with {len(self.split)} splits, {t} texts of "
                f"{len(self.image)} images and {len(self.kind)} kinds; give one each"
            )
        if len(set(self.image_ids)) != n:
            raise DataError(f"{self.name}: {n} images with {len(set(self.image_ids))} ids")
        check_ids(self.split, where=self.name, what="split", count=len(SPLITS))
        check_ids(self.image, where=self.name, what="image", count=n)
        check_ids(self.kind, where=self.name, what="kind", count=2)
        for row, text in enumerate(self.text):
            if not text.strip():
                raise DataError(f"{self.name}: text {row}, of {self._id(row)}, has no words")

    def _id(self, text: int) -> str:
        return self.image_ids[self.image[text]]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(self.images_of(s)):,} {s}" for s in SPLITS)
        return f"CaptionedImages({self.name}: images {sizes}; {len(self.text):,} texts)"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids, splits and texts; the images' files are not read."""
        numbers = {n: getattr(self, n).tolist() for n in ("split", "image", "kind")}
        content = {"image_ids": self.image_ids, "text": self.text, **numbers}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def subset(self, images: Integer[np.ndarray, "m"]) -> "CaptionedImages":
        """Some images, by ascending row, with the texts about them."""
        place = np.full(len(self.image_ids), -1)
        place[images] = np.arange(len(images))
        texts = np.flatnonzero(place[self.image] >= 0)
        return replace(
            self,
            image_ids=tuple(self.image_ids[n] for n in images),
            split=self.split[images],
            text=tuple(self.text[n] for n in texts),
            image=place[self.image[texts]].astype(np.int32),
            kind=self.kind[texts],
            encoded=lambda row: self.encoded(int(images[row])),
        )

    def images_of(self, split: Split) -> Int32[np.ndarray, "_"]:
        """Rows of the images of a split: the gallery that its captions search."""
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int32)

    def captions_of(self, split: Split) -> Int32[np.ndarray, "_"]:
        """Rows of the captions of a split's images."""
        inside = self.split[self.image] == SPLITS.index(split)
        return np.flatnonzero(inside & (self.kind == CAPTION)).astype(np.int32)

    def training_texts(self) -> Int32[np.ndarray, "_"]:
        """Rows of the texts to train on: captions of the training images, all pseudo queries."""
        own = (self.split[self.image] == SPLITS.index("train")) & (self.kind == CAPTION)
        return np.flatnonzero(own | (self.kind == PSEUDO)).astype(np.int32)

    def pixels(self, rows: np.ndarray, size: int) -> UInt8[np.ndarray, "_ y x 3"]:
        """Images as squares of `size`, on white where they are transparent; needs Pillow.

        The longer side fits; what is left is white, so that nothing is cut off.

        Raises:
            DataError: a file is no image.
            ImportError: Pillow is missing.
        """
        squares = np.full((len(rows), size, size, 3), 255, np.uint8)
        for place, row in enumerate(rows):
            squares[place] = _square(self.picture(int(row)), size)
        return squares

    def picture(self, row: int) -> Any:
        """An image of Pillow in RGB, on white where it is transparent.

        Raises:
            DataError: the file is no image.
            ImportError: Pillow is missing.
        """
        return opened(self.encoded(row), self.image_ids[row])


def picture_fault(content: bytes, name: str) -> str:
    """What is wrong with the file of a picture, which is decoded whole; "" if nothing is.

    Raises:
        ImportError: Pillow is missing.
    """
    try:
        opened(content, name)
    except DataError as error:
        return str(error)
    return ""


def opened(content: bytes, name: str) -> Any:
    """The picture in a file's content as Pillow's, in RGB, on white where it is transparent.

    Raises:
        DataError: it is no image, or damaged; `name` says which.
        ImportError: Pillow is missing.
    """
    try:
        return open_rgb(content)
    except ValueError as error:
        raise DataError(f"image {name} cannot be read ({error}); copy it again") from None


def _square(picture: Any, size: int) -> np.ndarray:
    from PIL import Image

    scale = size / max(picture.size)
    wide, high = (max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGB", (size, size), (255, 255, 255))
    small = picture.resize((wide, high), Image.Resampling.LANCZOS)
    square.paste(small, ((size - wide) // 2, (size - high) // 2))
    return np.asarray(square)
