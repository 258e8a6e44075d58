"""TFDS builder of coco; README.md beside this file says what it is."""

import tensorflow_datasets as tfds

from mmjax.data.sets.coco.source import SOURCE
from mmjax.data.sets.common.captioned_builder import CaptionedBuilder


class Builder(CaptionedBuilder):
    """Prepares coco as ArrayRecord files."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE.instructions
