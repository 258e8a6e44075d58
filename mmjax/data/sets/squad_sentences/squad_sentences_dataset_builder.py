"""TFDS builder of squad_sentences; README.md beside this file says what it is."""

import tensorflow_datasets as tfds

from mmjax.data.sets.common.passages_builder import PassagesBuilder
from mmjax.data.sets.squad_sentences.source import SOURCE


class Builder(PassagesBuilder):
    """Prepares squad_sentences as ArrayRecord files."""

    SOURCE = SOURCE
    VERSION = tfds.core.Version(SOURCE.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
