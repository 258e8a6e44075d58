"""TFDS builder of noto_emoji, without TensorFlow; README.md beside this file says what it is.

Importing this module imports tensorflow-datasets.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mmjax.data.core.captioned import CAPTION, SPLITS, CaptionedImages
from mmjax.data.sets.common.builder import SourceBuilder
from mmjax.data.sets.noto_emoji.source import SOURCE


class Builder(SourceBuilder):
    """Prepares noto_emoji as ArrayRecord files: one record an emoji, `image` its WebP file."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        return self.table_info({"id": text, "name": text, "tags": text, "image": text})

    def _split_generators(self, dl_manager):
        data = self.SOURCE.read(self.directory(dl_manager))
        return {split: _records(data, place) for place, split in enumerate(SPLITS)}


def _records(data: CaptionedImages, split: int) -> Iterator[tuple[int, dict[str, Any]]]:
    texts = [{"name": "", "tags": ""} for _ in data.image_ids]
    for image, kind, text in zip(data.image, data.kind, data.text, strict=True):
        texts[image]["name" if kind == CAPTION else "tags"] = text
    for row in np.flatnonzero(data.split == split).tolist():
        yield row, {"id": data.image_ids[row], **texts[row], "image": data.encoded(row)}
