"""From flags to data: pixels, words and the texts of every split."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.avg.config import AVGRun, shrink
from experiments.avg.features import Features, load_data
from mmjax.data import CaptionedImages
from mmjax.data.captioned import Split
from mmjax.data.words import END, PAD, Words
from mmjax.encoders.clip import ClipConfig, ClipTextConfig, ClipVisionConfig


@dataclass(frozen=True)
class Problem:
    """The data of a run, ready to train on."""

    run: AVGRun
    """In its smoke form, if it is one."""
    data: CaptionedImages
    words: Words
    clip: ClipConfig
    given: Features | None
    """Features that need no training."""
    pixels: np.ndarray | None
    """uint8 ``[n y x 3]``, of all images; None where features are given."""
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
        ValueError: no such data set, or settings that do not go together.
        DataError, WeightsError, FileNotFoundError: files are bad or missing.
    """
    data, given = load_data(run)
    if run.smoke:
        run = shrink(run)
    trained = data.trained()
    words = Words.of((data.text[n] for n in trained), least=run.least)
    return Problem(
        run,
        data,
        words,
        _clip(run, words),
        given,
        None if given else data.pixels(np.arange(len(data.image_ids)), run.towers.size),
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
