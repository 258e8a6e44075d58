"""TFDS builder of amazon_clothing; what it is stands in README.md beside this file."""

import tensorflow_datasets as tfds

from mmjax.data.io.builder import InteractionsBuilder
from mmjax.data.sets.amazon_clothing.source import SOURCE


class Builder(InteractionsBuilder):
    """Prepares amazon_clothing as ArrayRecord files."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE.instructions
