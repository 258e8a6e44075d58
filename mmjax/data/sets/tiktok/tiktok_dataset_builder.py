"""TFDS builder of tiktok; README.md beside this file says what it is."""

import tensorflow_datasets as tfds

from mmjax.data.sets.common.interactions_builder import InteractionsBuilder
from mmjax.data.sets.tiktok.source import SOURCE


class Builder(InteractionsBuilder):
    """Prepares tiktok as ArrayRecord files."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
