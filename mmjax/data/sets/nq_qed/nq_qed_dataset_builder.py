"""TFDS builder of nq_qed; what it is stands in README.md beside this file."""

import tensorflow_datasets as tfds

from mmjax.data.sets.passages import NQ_QED
from mmjax.data.sets.passages_builder import PassagesBuilder


class Builder(PassagesBuilder):
    """Prepares nq_qed as ArrayRecord files."""

    SOURCE = NQ_QED
    VERSION = tfds.core.Version(NQ_QED.version)
    RELEASE_NOTES = {"1.0.0": "First release."}
