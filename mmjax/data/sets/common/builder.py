"""The part that the TFDS builders of all data sets share, without TensorFlow.

Importing this module imports tensorflow-datasets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from mmjax.data.sets.common.source import DataSource


class SourceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Prepares one `DataSource` as ArrayRecord files."""

    SOURCE: ClassVar[DataSource[Any]]

    def table_info(self, features: Mapping[str, Any], **metadata: Any) -> tfds.core.DatasetInfo:
        """The info of a table with these features, from homepage and licence of the source."""
        info = self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(dict(features)),
            homepage=self.SOURCE.homepage,
            license=self.SOURCE.licence,
            disable_shuffling=True,
            **metadata,
        )
        # It would ask the public bucket for a description and leave an empty folder behind.
        info.initialize_from_bucket = lambda: None
        return info

    def directory(self, dl_manager: Any) -> Path:
        """The folder of the source's files."""
        # TFDS raises where a manual folder is asked for that no one gave.
        manual = Path() if self.SOURCE.shipped else Path(dl_manager.manual_dir)
        return self.SOURCE.directory(manual)

    def _generate_examples(self, examples):
        return examples
