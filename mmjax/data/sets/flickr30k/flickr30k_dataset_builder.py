"""TFDS builder of flickr30k; README.md beside this file says what it is."""

import tensorflow_datasets as tfds

from mmjax.data.sets.common.captioned_builder import CaptionedBuilder
from mmjax.data.sets.flickr30k.source import SOURCE


class Builder(CaptionedBuilder):
    """Prepares flickr30k as ArrayRecord files."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE.instructions
