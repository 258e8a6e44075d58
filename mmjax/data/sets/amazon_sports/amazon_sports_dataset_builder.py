"""TFDS builder of amazon_sports; README.md beside this file says what it is."""

import tensorflow_datasets as tfds

from mmjax.data.sets.amazon_sports.source import SOURCE
from mmjax.data.sets.common.interactions_builder import InteractionsBuilder


class Builder(InteractionsBuilder):
    """Prepares amazon_sports as ArrayRecord files."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE.instructions
