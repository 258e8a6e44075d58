"""The TFDS builder of images with captions that a user gets by hand.

One record an image, in the splits train, valid and test: its file and its texts, a line each.
Importing this module imports tensorflow-datasets.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mmjax.data.core.captioned import CAPTION, PSEUDO, SPLITS, CaptionedImages
from mmjax.data.sets.common.builder import SourceBuilder


class CaptionedBuilder(SourceBuilder, skip_registration=True):
    """Prepares one source of `CaptionedImages` as ArrayRecord files."""

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        return self.table_info(
            {"id": text, "image": text, "captions": text, "pseudo_queries": text}
        )

    def _split_generators(self, dl_manager):
        data = self.SOURCE.read(self.directory(dl_manager))
        # TFDS cannot write a split without records.
        return {split: _records(data, split) for split in SPLITS if len(data.images_of(split))}


def _records(data: CaptionedImages, split: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in data.images_of(split).tolist():
        texts = np.flatnonzero(data.image == row)
        lines = {
            kind: "\n".join(data.text[n] for n in texts if data.kind[n] == kind)
            for kind in (CAPTION, PSEUDO)
        }
        yield (
            row,
            {
                "id": data.image_ids[row],
                "image": data.encoded(row),
                "captions": lines[CAPTION],
                "pseudo_queries": lines[PSEUDO],
            },
        )
