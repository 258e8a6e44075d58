"""Documents, queries and graded judgements of what answers which, as test collections give them.

Axes: d documents, q queries, m judgements.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64

from mmjax.data.core.checks import DataError, check_ids

JUDGED = ("train", "valid", "test")
"""Names of the parts that a collection's judgements are divided into."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def whole_text(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no encoding of characters can hold; two
    that make a pair are the character that they stand for.
    """
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Judgements(NamedTuple):
    """Graded documents of each query, as rows of a sparse matrix; build it by `judgements_of`."""

    start: Int64[np.ndarray, "q+1"]
    """The judgements of query n stand at ``start[n]:start[n + 1]``."""
    document: Int32[np.ndarray, "m"]
    grade: Float32[np.ndarray, "m"]
    """Above 0 is relevant; more is better. 0 or less was judged and does not answer."""

    def of(self, query: int) -> tuple[Int32[np.ndarray, "_"], Float32[np.ndarray, "_"]]:
        """Documents and grades of a query."""
        own = slice(int(self.start[query]), int(self.start[query + 1]))
        return self.document[own], self.grade[own]

    @property
    def query(self) -> Int[np.ndarray, "m"]:
        """The query of each judgement."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def pairs(self) -> Int[np.ndarray, "_ 2"]:
        """(query, document) of what is relevant."""
        return np.stack([self.query, self.document], 1)[self.grade > 0]

    def judged(self) -> Int[np.ndarray, "_"]:
        """Queries with a relevant document, ascending: those that can be measured."""
        return np.unique(self.query[self.grade > 0])


def judgements_of(
    query: Int[np.ndarray, "m"],
    document: Int[np.ndarray, "m"],
    grade: np.ndarray,
    *,
    n_queries: int,
    n_documents: int,
    where: str = "judgements",
) -> Judgements:
    """Judgements in any order, sorted by query; within a query they stay in order.

    Raises:
        DataError: a number is out of range, a grade is not finite, or a pair is judged twice.
    """
    check_ids(query, where=where, what="query", count=n_queries)
    check_ids(document, where=where, what="document", count=n_documents)
    grade = np.asarray(grade, np.float32)
    if not np.isfinite(grade).all():
        row = int(np.argmin(np.isfinite(grade)))
        raise DataError(f"{where}, row {row}: grade {grade[row]}; give a finite number")
    order = np.argsort(query, kind="stable")
    key = query.astype(np.int64) * n_documents + document
    if len(np.unique(key)) < len(key):
        _, first = np.unique(key, return_index=True)
        row = int(np.setdiff1d(np.arange(len(key)), first)[0])
        raise DataError(f"{where}, row {row}: its query and document are judged before; keep one")
    start = np.zeros(n_queries + 1, np.int64)
    np.cumsum(np.bincount(query, minlength=n_queries), out=start[1:])
    return Judgements(start, document[order].astype(np.int32), grade[order])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RetrievalCorpus:
    """Documents, queries, and by part the judgements; a query may have several relevant documents.

    Attributes:
        name: of the collection.
        document_ids: raw ids, each once.
        titles: of each document, "" where it has none.
        texts: of each document, without its title.
        query_ids: raw ids, each once.
        queries: text of each query.
        judgements: by part, of `JUDGED`.
        source: where it came from, for people.

    Raises:
        DataError: on construction, if an id repeats, a text is empty, or lengths differ.
    """

    name: str
    document_ids: tuple[str, ...]
    titles: tuple[str, ...]
    texts: tuple[str, ...]
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    judgements: Mapping[str, Judgements] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        d, q = len(self.document_ids), len(self.query_ids)
        if len(self.titles) != d or len(self.texts) != d or len(self.queries) != q:
            raise DataError(f"{self.name}: ids, titles and texts differ in number; give one each")
        for what, ids in (("document", self.document_ids), ("query", self.query_ids)):
            repeated(ids, where=f"{self.name}, {what} ids")
        for n, (title, text) in enumerate(zip(self.titles, self.texts, strict=True)):
            if not (title + text).strip():
                raise DataError(f"{self.name}: document {self.document_ids[n]} has no text")
        for n, text in enumerate(self.queries):
            if not text.strip():
                raise DataError(f"{self.name}: query {self.query_ids[n]} has no text")
        for part, judged in self.judgements.items():
            if part not in JUDGED:
                raise DataError(f"{self.name}: part {part!r} of judgements; give one of {JUDGED}")
            if len(judged.start) != q + 1:
                raise DataError(
                    f"{self.name}, {part}: judgements of {len(judged.start) - 1} of {q}"
                )
            check_ids(judged.document, where=f"{self.name}, {part}", what="document", count=d)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(j.document):,} {part}" for part, j in self.judgements.items())
        return (
            f"RetrievalCorpus({self.name}: {len(self.texts):,} documents, "
            f"{len(self.queries):,} queries, judgements {sizes or 'none'})"
        )

    @cached_property
    def passages(self) -> list[str]:
        """Title and text of each document, as encoders of passages read them."""
        return [f"{a} {b}".strip() for a, b in zip(self.titles, self.texts, strict=True)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, texts and judgements."""
        digest = hashlib.sha256()
        for texts in (
            self.document_ids,
            self.titles,
            self.texts,
            self.query_ids,
            self.queries,
        ):
            digest.update(str(len(texts)).encode())
            for text in texts:
                digest.update(text.encode() + b"\0")
        for part in sorted(self.judgements):
            digest.update(part.encode())
            for array in self.judgements[part]:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def repeated(ids: Iterable[str], *, where: str, first_row: int = 1) -> dict[str, int]:
    """The place of each id.

    Raises:
        DataError: an id stands twice, with both rows.
    """
    place: dict[str, int] = {}
    for n, name in enumerate(ids):
        if name in place:
            rows = f"{place[name] + first_row} and {n + first_row}"
            raise DataError(f"{where}: {name!r} stands in rows {rows}; give each id once")
        place[name] = n
    return place
