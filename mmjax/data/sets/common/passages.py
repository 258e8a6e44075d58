"""Sources of passages that are shipped with mmjax as two tables."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.core.passages import Passages
from mmjax.data.sets.common.source import DataSource, check_shipped

FILES = ("passages.parquet", "questions.parquet")


def passages(
    name: str, homepage: str, licence: str, shipped: Mapping[str, str], *, grouped: bool = True
) -> DataSource[Passages]:
    """The source of a data set whose package holds `FILES`; see `Passages` for `grouped`."""
    source = f"{homepage}, shipped with mmjax ({licence})"
    return DataSource(
        name=name,
        kind="passages",
        homepage=homepage,
        licence=licence,
        shipped=shipped,
        read=partial(read_passages, name=name, shipped=shipped, source=source, grouped=grouped),
    )


def read_passages(
    directory: Path, *, name: str, shipped: Mapping[str, str], source: str, grouped: bool
) -> Passages:
    """The data set from its shipped files.

    Raises:
        DataError: a file is missing or is not the one that was shipped.
    """
    from pyarrow import parquet

    check_shipped(directory, shipped)
    passages, questions = (parquet.read_table(directory / file) for file in FILES)
    return Passages(
        name=name,
        text=tuple(passages["text"].to_pylist()),
        titles=tuple(passages["title"].to_pylist()),
        question=tuple(questions["text"].to_pylist()),
        document=questions["document"].to_numpy().astype(np.int32),
        source=source,
        grouped=grouped,
    )


def save_passages(
    folder: Path, text: list[str], titles: list[str], questions: list[tuple[int, str]]
) -> None:
    """Write the two files of a package.

    Raises:
        DataError: there is a text without words, or there are more titles than texts.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if len(text) != len(titles) or not all(map(str.strip, text)):
        raise DataError(f"{folder}: {len(text)} texts, {len(titles)} titles, or an empty text")
    folder.mkdir(parents=True, exist_ok=True)
    document, question = zip(*questions, strict=True)
    tables = (
        pa.table({"title": titles, "text": text}),
        pa.table({"document": pa.array(document, pa.int32()), "text": list(question)}),
    )
    for file, table in zip(FILES, tables, strict=True):
        parquet.write_table(table, folder / file, compression="zstd", compression_level=19)
