"""TFDS builder of xquad; what it is stands in README.md beside this file."""

import tensorflow_datasets as tfds

from mmjax.data.sets.passages import XQUAD
from mmjax.data.sets.passages_builder import PassagesBuilder


class Builder(PassagesBuilder):
    """Prepares xquad as ArrayRecord files."""

    SOURCE = XQUAD
    VERSION = tfds.core.Version(XQUAD.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
