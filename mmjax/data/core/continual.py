"""Documents that arrive in sessions, each with queries: data for continual retrieval.

Axes: d documents, q queries, s positions.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, Int32

from mmjax.data.core.catalogue import read_only
from mmjax.data.core.checks import DataError, check_ids

PARTS = ("train", "generated", "valid", "test")
"""Uses of queries; "generated" ones are trained on too, but no person wrote them."""
_WORD = re.compile(r"\w+")
_CLS, _FIRST = 1, 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ContinualCorpus:
    """Documents in the order of their arrival, and queries that each ask for one.

    Session 0 is what is there at first; the documents of a session follow those of the one
    before, so that a document's number is its row in a classifier that grows.

    Attributes:
        name: name of the data set.
        split: how sessions were made, and by which seed; part of every result.
        session: session of each document, from 0 and never falling, int32 ``[d]``.
        queries: text of each query.
        document: the document that each asks for, int32 ``[q]``.
        part: index in `PARTS` of each query, int32 ``[q]``.
        titles: names of the documents to show.
        source: where they came from, for people.
    """

    name: str
    split: str
    session: np.ndarray
    queries: tuple[str, ...]
    document: np.ndarray
    part: np.ndarray
    titles: tuple[str, ...]
    source: str = ""
    question: np.ndarray | None = None
    """Question of each query row, int32 ``[q]``: rows of one question and part name all documents
    that answer it. None where each row is a question of its own."""

    def __post_init__(self) -> None:
        if self.question is not None:
            question = read_only(np.asarray(self.question, np.int32))
            object.__setattr__(self, "question", question)
        for name in ("session", "document", "part"):
            value = read_only(np.asarray(getattr(self, name), np.int32))
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        sizes = "+".join(str(self.rows(n)[1] - self.rows(n)[0]) for n in range(self.n_sessions))
        return (
            f"ContinualCorpus({self.name}, split {self.split}: {self.n_documents:,} documents "
            f"({sizes}), {len(self.queries):,} queries)"
        )

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.session)

    @property
    def n_sessions(self) -> int:
        """Number of sessions, the first one included."""
        return int(self.session[-1]) + 1

    def rows(self, session: int) -> tuple[int, int]:
        """The documents of a session: the first, and that behind the last."""
        start, stop = np.searchsorted(self.session, [session, session + 1])
        return int(start), int(stop)

    def queries_of(self, session: int, *parts: str) -> Int[np.ndarray, "_"]:
        """The queries of some parts for the documents of a session, in order."""
        chosen = np.isin(self.part, [PARTS.index(part) for part in parts])
        return np.flatnonzero(chosen & (self.session[self.document] == session))

    def asked(
        self, session: int, part: str, stop: int
    ) -> tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_ 2"]]:
        """The questions of a part for a session's documents, each once, and what answers them.

        Args:
            session: whose documents are among the answers.
            part: of `PARTS`.
            stop: documents that have arrived; later ones answer nothing yet.

        Returns:
            A query row for each question, and (place of the question, document) of all answers.
        """
        rows = self.queries_of(session, part)
        if self.question is None:
            return rows, np.stack([np.arange(len(rows)), self.document[rows]], 1)
        numbers, first = np.unique(self.question[rows], return_index=True)
        same = (self.part == PARTS.index(part)) & (self.document < stop)
        same &= np.isin(self.question, numbers)
        place = np.searchsorted(numbers, self.question[same])
        pairs = np.stack([place, self.document[same]], 1)
        return rows[first], np.unique(pairs, axis=0)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over split, sessions, queries and what these ask for."""
        digest = hashlib.sha256(f"{self.split}\n".encode())
        for array in (self.session, self.document, self.part):
            digest.update(np.ascontiguousarray(array).tobytes())
        for text in (*self.queries, *self.titles):
            digest.update(text.encode() + b"\0")
        if self.question is not None:
            digest.update(np.ascontiguousarray(self.question).tobytes())
        return digest.hexdigest()


def validate_corpus(corpus: ContinualCorpus) -> ContinualCorpus:
    """The corpus, if sessions rise without a gap and every document can be trained and tested on.

    Raises:
        DataError: naming what is wrong and where.
    """
    name, session = corpus.name, corpus.session
    check_ids(corpus.document, where=name, what="document", count=corpus.n_documents)
    check_ids(corpus.part, where=name, what="part", count=len(PARTS))
    lengths = {len(corpus.queries), len(corpus.document), len(corpus.part)}
    if len(lengths) > 1 or len(corpus.titles) != len(session):
        raise DataError(f"{name}: queries, document and part have {lengths} entries, titles differ")
    if not len(session) or session[0] != 0 or not np.isin(np.diff(session), (0, 1)).all():
        raise DataError(f"{name}: sessions must rise from 0 in steps of 1 with the documents")
    trained = np.zeros(len(session), bool)
    trained[corpus.document[corpus.part < 2]] = True
    if not trained.all():
        raise DataError(f"{name}: document {int(np.argmin(trained))} has no query to train on")
    for n in range(corpus.n_sessions):
        for part in ("valid", "test"):
            if not len(corpus.queries_of(n, part)):
                raise DataError(
                    f"{name}: session {n} has no {part} query, which would be measured on: ask "
                    "for fewer sessions, or give its documents more queries"
                )
    return corpus


def in_sessions(
    name: str,
    split: str,
    session: Int[np.ndarray, "d"],
    titles: Sequence[str],
    queries: Sequence[tuple[int, str, str]],
    source: str,
    question: Sequence[int] | None = None,
) -> ContinualCorpus:
    """The corpus of documents in any order, sorted by session (within one, as they come).

    Args:
        name, split, source: see `ContinualCorpus`.
        session: session of each document.
        titles: of each document.
        queries: (document, part, text) of each.
        question: see `ContinualCorpus`.

    Raises:
        DataError: the sessions have gaps, or a document lacks queries.
    """
    order = np.argsort(session, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    document, part, text = zip(*queries, strict=True)
    corpus = ContinualCorpus(
        name=name,
        split=split,
        session=np.asarray(session)[order],
        queries=tuple(text),
        document=place[list(document)],
        part=np.array([PARTS.index(p) for p in part]),
        titles=tuple(titles[int(n)] for n in order),
        source=source,
        question=None if question is None else np.asarray(question, np.int32),
    )
    return validate_corpus(corpus)


def sessions_of_groups(
    group: Int[np.ndarray, "d"], *, new: int, share: float, seed: int
) -> Int[np.ndarray, "d"]:
    """Sessions that keep groups (topics, articles) whole: a share of the groups first, then `new`.

    Raises:
        ValueError: there are fewer groups than sessions.
    """
    groups, place = np.unique(group, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(groups))
    return _by_group(dealt[place], new, share)


def sessions_of_arrival(n: int, *, new: int, share: float) -> Int[np.ndarray, "d"]:
    """Sessions in the order of time: a share of the documents first, the rest in `new` even parts.

    Raises:
        ValueError: there are fewer documents than sessions.
    """
    return _by_group(np.arange(n), new, share)


def _by_group(place: np.ndarray, new: int, share: float) -> np.ndarray:
    """Sessions of documents by the place of their group in the order of arrival."""
    groups = int(place.max()) + 1
    first = max(1, min(round(share * groups), groups - new))
    if first + new > groups:
        raise ValueError(f"{groups} groups cannot fill {new + 1} sessions; ask for fewer")
    late = np.maximum(place - first, 0) * new // (groups - first) + 1
    return np.where(place < first, 0, late).astype(np.int32)


def first_of_each(document: Int[np.ndarray, "q"], count: int) -> Int[np.ndarray, "_"]:
    """The first `count` queries of each document, by number, sorted by document."""
    order = np.argsort(document, kind="stable")
    ordered = document[order]
    return order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < count]


def windows_of(text: str, n: int, length: int, rng: np.random.Generator) -> list[str]:
    """Random stretches of `length` words, which stand for generated queries; each text once."""
    words = _WORD.findall(text)
    last = max(1, len(words) - length + 1)
    starts = rng.choice(last, size=min(n, last), replace=False)
    return [" ".join(words[s : s + length]) for s in sorted(starts.tolist())]


def hashed_words(texts: Sequence[str], vocabulary: int, length: int) -> Int32[np.ndarray, "q s"]:
    """Words as tokens by a hash, for encoders without a tokenizer of their own.

    Lower-cased words go to ``2 .. vocabulary - 1`` by their CRC-32, so that words of documents to
    come have tokens too; 1 stands first, 0 pads. Of a longer text the first words count.

    Raises:
        ValueError: the vocabulary or the length has no room for a word.
    """
    if vocabulary <= _FIRST or length < 2:
        raise ValueError(f"hashed_words: vocabulary {vocabulary}, length {length}; too small")
    ids = np.zeros((len(texts), length), np.int32)
    ids[:, 0] = _CLS
    room = vocabulary - _FIRST
    for row, text in enumerate(texts):
        words = _WORD.findall(text.lower())[: length - 1]
        ids[row, 1 : len(words) + 1] = [zlib.crc32(w.encode()) % room + _FIRST for w in words]
    return ids
