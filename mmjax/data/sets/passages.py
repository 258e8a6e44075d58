"""Passages of text with the questions that they answer, shipped with mmjax.

Axes: d passages, q questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from mmjax.data.core.checks import DataError, check_ids
from mmjax.data.core.source import check_shipped

FILES = ("passages.parquet", "questions.parquet")
ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class PassageSource:
    """A shipped set of passages; its package is ``mmjax/data/sets/<name>``."""

    name: str
    homepage: str
    licence: str
    shipped: Mapping[str, str]
    """SHA-256 of each of `FILES`."""
    version: str = "1.0.0"
    grouped: bool = True
    """Whether titles say what belongs together, such as the paragraphs of an article."""


@dataclass(frozen=True, eq=False, repr=False)
class Passages:
    """Passages in the order of their source, and questions on them.

    Attributes:
        name: name of the data set.
        text: of each passage.
        titles: what each is from; equal ones belong together where the source is `grouped`.
        question: text of each question.
        document: the passage that answers it, int32 ``[q]``.
        source: where they came from, for people.
        grouped: see `PassageSource`.
    """

    name: str
    text: tuple[str, ...]
    titles: tuple[str, ...]
    question: tuple[str, ...]
    document: Int32[np.ndarray, "q"]
    source: str
    grouped: bool

    def __repr__(self) -> str:
        return (
            f"Passages({self.name}: {len(self.text):,} passages, {len(self.question):,} questions)"
        )


XQUAD = PassageSource(
    "xquad",
    "https://github.com/google-deepmind/xquad",
    "CC BY-SA 4.0",
    {
        "passages.parquet": "33cdd4803b865f0d81d2f949288a27419f1c19f862c98be0f9aeb2aacd3bb915",
        "questions.parquet": "cbba61067f00d5b390c16e3487e38791b054f166fe1708360bfdc9bea6cdfb11",
    },
)
NQ_QED = PassageSource(
    "nq_qed",
    "https://github.com/google-research-datasets/QED",
    "CC BY-SA 3.0",
    {
        "passages.parquet": "cbacee01129598d45c4c2d8bcaf825786522c7205b94e864f84101553fb27deb",
        "questions.parquet": "9297247e93b4ecb2e87e74eeb4238d113cacffa959d4499da12a5e7d1aa63579",
    },
    grouped=False,
)
SQUAD_SENTENCES = PassageSource(
    "squad_sentences",
    "https://github.com/xinyadu/nqg",
    "CC BY-SA 4.0 (SQuAD)",
    {
        "passages.parquet": "a5c3a1625be974b2201e1984089a9162eb20c8ac748572ad5a66460c3afd0cda",
        "questions.parquet": "d88ac4d4fc374fb0d20a509f5c0dcf7142ac194b453584687f8b13d0bb5b1276",
    },
    grouped=False,
)
PASSAGES = {s.name: s for s in (XQUAD, NQ_QED, SQUAD_SENTENCES)}
"""Every shipped set by its name."""


def load_passages(name: str) -> Passages:
    """The passages called `name`: "xquad", "nq_qed" or "squad_sentences".

    Raises:
        ValueError: no set of that name.
        DataError: a file is missing or is not the one that was shipped.
    """
    if name not in PASSAGES:
        raise ValueError(f"no passages called {name!r}; there are {', '.join(PASSAGES)}")
    source, folder = PASSAGES[name], ROOT / name
    check_shipped(folder, source.shipped)
    from pyarrow import parquet

    passages, questions = (parquet.read_table(folder / file) for file in FILES)
    document = questions["document"].to_numpy().astype(np.int32)
    check_ids(document, where=name, what="document", count=passages.num_rows)
    return Passages(
        name,
        tuple(passages["text"].to_pylist()),
        tuple(passages["title"].to_pylist()),
        tuple(questions["text"].to_pylist()),
        document,
        f"{source.homepage}, shipped with mmjax ({source.licence})",
        source.grouped,
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
