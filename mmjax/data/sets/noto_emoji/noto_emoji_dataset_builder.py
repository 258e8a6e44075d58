"""TFDS builder of noto_emoji, without TensorFlow; what it is stands in README.md beside this file.

Importing this module imports tensorflow-datasets.
"""

import numpy as np
import tensorflow_datasets as tfds

from mmjax.data.core.captioned import CAPTION, SPLITS
from mmjax.data.sets.noto_emoji.source import HOMEPAGE, LICENCE, VERSION, load_noto_emoji


class Builder(tfds.core.GeneratorBasedBuilder):
    """Prepares noto_emoji as ArrayRecord files: one record an emoji, `image` its WebP file."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        info = self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {"id": text, "name": text, "tags": text, "image": text}
            ),
            homepage=HOMEPAGE,
            license=LICENCE,
            disable_shuffling=True,
        )
        # It would ask the public bucket for a description and leave an empty folder behind.
        info.initialize_from_bucket = lambda: None
        return info

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(place) for place, split in enumerate(SPLITS)}

    def _generate_examples(self, split):
        data = load_noto_emoji()
        said = [{"name": "", "tags": ""} for _ in data.image_ids]
        for image, kind, text in zip(data.image, data.kind, data.text, strict=True):
            said[image]["name" if kind == CAPTION else "tags"] = text
        for row in np.flatnonzero(data.split == split).tolist():
            yield row, {"id": data.image_ids[row], **said[row], "image": data.encoded(row)}
