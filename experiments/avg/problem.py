"""From flags to data: pixels, words and the texts of every split."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.avg.config import AVGRun, shrink
from mmjax.data import CaptionedImages, load_captioned
from mmjax.data.captioned import Split
from mmjax.data.words import END, PAD, Words
from mmjax.encoders.clip import ClipConfig, ClipTextConfig, ClipVisionConfig

_SMOKE_IMAGES = 12
"""In a smoke run, every so many-th image is kept."""


@dataclass(frozen=True)
class Problem:
    """The data of a run, ready to train on."""

    run: AVGRun
    """In its smoke form, if it is one."""
    data: CaptionedImages
    words: Words
    clip: ClipConfig
    pixels: np.ndarray
    """uint8 ``[n y x 3]``, of all images."""
    ids: np.ndarray
    """Tokens of all texts, int32 ``[t s]``."""
    trained: np.ndarray
    """Rows of the texts to train on."""

    @property
    def trained_image(self) -> np.ndarray:
        """The image of each of these texts."""
        return self.data.image[self.trained]

    def asked(self, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens of a split's captions, the images they mean, and the pool that they search."""
        rows = self.data.captions_of(split)
        return self.ids[rows], self.data.image[rows], self.data.images_of(split)


def load_problem(run: AVGRun) -> Problem:
    """Read the data of `run`.

    Raises:
        ValueError: no such data set.
        DataError, FileNotFoundError: files are bad or missing.
    """
    data = load_captioned("noto_emoji" if run.smoke else run.data, manual_dir=run.manual_dir)
    if run.smoke:
        run, data = shrink(run), _few(data)
    trained = data.trained()
    words = Words.of((data.text[n] for n in trained), least=run.least)
    return Problem(
        run,
        data,
        words,
        _clip(run, words),
        data.pixels(np.arange(len(data.image_ids)), run.towers.size),
        words.encode(data.text, run.length),
        trained,
    )


def _clip(run: AVGRun, words: Words) -> ClipConfig:
    t = run.towers
    same: Any = {
        "width": t.width,
        "heads": t.heads,
        "hidden": 4 * t.width,
        "projection": t.projection,
    }
    text = ClipTextConfig(
        vocabulary=words.size,
        layers=max(1, t.layers // 2),
        positions=run.length,
        end_id=END,
        pad_id=PAD,
        **same,
    )
    vision = ClipVisionConfig(
        image=(t.size, t.size), patch=(t.patch, t.patch), layers=t.layers, **same
    )
    return ClipConfig(text, vision)


def _few(data: CaptionedImages) -> CaptionedImages:
    kept = np.arange(0, len(data.image_ids), _SMOKE_IMAGES)
    place = np.full(len(data.image_ids), -1)
    place[kept] = np.arange(len(kept))
    texts = np.flatnonzero(place[data.image] >= 0)
    return CaptionedImages(
        data.name,
        tuple(data.image_ids[n] for n in kept),
        data.split[kept],
        tuple(data.text[n] for n in texts),
        place[data.image[texts]].astype(np.int32),
        data.kind[texts],
        lambda row: data.encoded(int(kept[row])),
        data.source,
    )
