"""Features of images and texts: of towers trained here, of a published CLIP, or of the data."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.avg.config import AVGRun
from mmjax.data import CaptionedImages, load
from mmjax.data.synthetic.captions import concept_images
from mmjax.encoders.image_text.clip import ClipConfig
from mmjax.models.retrieval import two_tower
from mmjax.objective import Variables

# One program for all stages that embed as much.
images_of = jax.jit(two_tower.embed_images, static_argnums=0)
texts_of = jax.jit(two_tower.embed_texts, static_argnums=0)


class Features(NamedTuple):
    """What the towers say, scaled so that a feature's mean square is one."""

    images: np.ndarray
    """Of all images ``[n p]``."""
    texts: np.ndarray
    """Of all texts ``[t p]``."""
    query: Callable[[Sequence[str]], np.ndarray] | None
    """Of other texts; None if what made the features cannot read any."""


def load_data(run: AVGRun) -> tuple[CaptionedImages, Features | None]:
    """The data of a run, and their features if these are not to be trained.

    Raises:
        ValueError: no such data set, or a CLIP for data without pictures.
        DataError, WeightsError, FileNotFoundError: files are bad or missing.
    """
    if run.data == "concepts":
        if run.clip is not None:
            raise ValueError("--clip: the synthetic concepts have no pictures to read")
        data, images, texts = concept_images(
            counts=(140, 30, 30) if run.smoke else (1400, 300, 300)
        )
        return data, Features(_scaled(images), _scaled(texts), None)
    data = load(
        "noto_emoji" if run.smoke else run.data, kind="captioned", manual_dir=run.manual_dir
    )
    if run.smoke:
        data = few(data)
    return data, None if run.clip is None else clip_features(data, run.clip, run.cache)


def clip_features(data: CaptionedImages, folder: Path, cache: Path | None) -> Features:
    """What a published CLIP says of all images and texts.

    Raises:
        WeightsError: the folder holds no CLIP of both towers.
        DataError: a picture is damaged.
    """
    from mmjax.encoders.image.encoder import load_image_encoder
    from mmjax.encoders.text.encoder import load_text_encoder

    texts = load_text_encoder(folder, pooling="own", normalise=True)
    images = load_image_encoder(folder, pooling="own", normalise=True)
    pictures = [data.picture(row) for row in range(len(data.image_ids))]
    return Features(
        _scaled(images.encode(pictures, cache=cache)),
        _scaled(texts.encode(data.text, cache=cache)),
        lambda asked: _scaled(texts.encode(asked, progress=False)),
    )


def tower_features(
    config: ClipConfig,
    towers: Variables,
    pixels: np.ndarray,
    ids: np.ndarray,
    encode: Callable[[Sequence[str]], np.ndarray],
) -> Features:
    """What trained towers say; `encode` makes tokens of texts."""
    params = towers["params"]

    def texts(rows: np.ndarray) -> np.ndarray:
        return _scaled(np.asarray(texts_of(config, params, jnp.asarray(rows))))

    images = _scaled(np.asarray(images_of(config, params, jnp.asarray(pixels))))
    return Features(images, texts(ids), lambda asked: texts(encode(asked)))


def _scaled(x: np.ndarray) -> np.ndarray:
    return x.shape[1] ** 0.5 * x


_EVERY = 12


def few(data: CaptionedImages) -> CaptionedImages:
    """Every twelfth image with its texts, for a smoke run."""
    kept = np.arange(0, len(data.image_ids), _EVERY)
    place = np.full(len(data.image_ids), -1)
    place[kept] = np.arange(len(kept))
    texts = np.flatnonzero(place[data.image] >= 0)
    return dataclasses.replace(
        data,
        image_ids=tuple(data.image_ids[n] for n in kept),
        split=data.split[kept],
        text=tuple(data.text[n] for n in texts),
        image=place[data.image[texts]].astype(np.int32),
        kind=data.kind[texts],
        encoded=lambda row: data.encoded(int(kept[row])),
    )
