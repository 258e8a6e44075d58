"""From flags to data: pixels, words and the texts of every split."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.avg.config import AVGRun, shrink
from experiments.avg.features import Features, load_data
from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.ranking.topk import top_k
from mmjax.data import CaptionedImages
from mmjax.data.core.captioned import Split
from mmjax.data.core.words import END, PAD, Words
from mmjax.encoders.image_text.clip import ClipConfig, ClipTextConfig, ClipVisionConfig


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
    """Rows of the texts to train on; `borrowed` ones occur more than once."""
    trained_image: np.ndarray
    """The image that each of these texts stands for."""

    def queries(self, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens of a split's captions, the images they mean, and the gallery that they search."""
        rows = self.data.captions_of(split)
        return self.ids[rows], self.data.image[rows], self.data.images_of(split)


def load_problem(run: AVGRun) -> Problem:
    """Read the data of `run`.

    Raises:
        ValueError: no such data set, or settings that do not go together.
        DataError, WeightsError, FileNotFoundError: files are bad or missing.
    """
    if run.borrowed < 0:
        raise ValueError(f"--borrowed {run.borrowed}: give 0 or more captions")
    data, given = load_data(run)
    if run.smoke:
        run = shrink(run)
    trained = data.training_texts()
    words = Words.of((data.text[n] for n in trained), min_count=run.least)
    return Problem(
        run,
        data,
        words,
        _clip(run, words),
        given,
        None if given else data.pixels(np.arange(len(data.image_ids)), run.towers.size),
        words.encode(data.text, run.length),
        trained,
        data.image[trained],
    )


def borrowed(problem: Problem, found: Features, count: int) -> Problem:
    """`problem` with pseudo queries for the images that no trained text is about.

    They are the training captions whose features are nearest to an image's, `count` for each;
    an image of the pool is thus described without a caption of its own being read.
    """
    unmet = np.setdiff1d(np.arange(len(problem.data.image_ids)), problem.trained_image)
    if not count or not len(unmet):
        return problem
    count = min(count, len(problem.trained))
    near = np.asarray(_nearest(found.images[unmet], found.texts[problem.trained], count))
    rows = np.concatenate([problem.trained, problem.trained[near.ravel()]])
    images = np.concatenate([problem.trained_image, np.repeat(unmet, count)])
    return dataclasses.replace(problem, trained=rows, trained_image=images.astype(np.int32))


@partial(jax.jit, static_argnames="k")
def _nearest(images: jax.Array, texts: jax.Array, k: int) -> jax.Array:
    # A few images at a time: COCO has half a million texts.
    return map_batched(lambda x: top_k(x @ texts.T, k)[1], images, size=64)


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
