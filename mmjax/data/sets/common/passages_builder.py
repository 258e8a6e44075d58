"""The TFDS builder that all passages share, without TensorFlow.

Configurations: `passages` (title and text) and `questions` (the passage and the question), one
split each of the same name. Importing this module imports tensorflow-datasets.
"""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from mmjax.data.sets.common.builder import SourceBuilder

_TABLES = {
    "passages": "Title and text of each passage.",
    "questions": "Each question and the passage that answers it.",
}


class PassagesBuilder(SourceBuilder, skip_registration=True):
    """Prepares one source of `Passages` as ArrayRecord files; each set's package subclasses it."""

    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name=name, description=text) for name, text in _TABLES.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        tables = {
            "passages": {"title": text, "text": text},
            "questions": {"document": np.int32, "text": text},
        }
        return self.table_info(tables[str(self.builder_config_name)])

    def _split_generators(self, dl_manager):
        data = self.SOURCE.read(self.directory(dl_manager))
        table = self.builder_config_name
        if table == "passages":
            pairs = zip(data.titles, data.text, strict=True)
            rows = ({"title": title, "text": text} for title, text in pairs)
        else:
            pairs = zip(data.document.tolist(), data.question, strict=True)
            rows = ({"document": document, "text": text} for document, text in pairs)
        return {table: enumerate(rows)}
