"""TFDS builder of squad_sentences; what it is stands in README.md beside this file."""

import tensorflow_datasets as tfds

from mmjax.data.sets.passages import SQUAD_SENTENCES
from mmjax.data.sets.passages_builder import PassagesBuilder


class Builder(PassagesBuilder):
    """Prepares squad_sentences as ArrayRecord files."""

    SOURCE = SQUAD_SENTENCES
    VERSION = tfds.core.Version(SQUAD_SENTENCES.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
