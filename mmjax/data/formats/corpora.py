"""Test collections of one's own: BEIR folders, and documents, queries and judgements in tables.

A BEIR folder (arXiv 2104.08663) holds ``corpus.jsonl``, ``queries.jsonl`` and
``qrels/{train,dev,test}.tsv``, each packed by gzip or not; the judgements have a header or none.
The same three tables are read from CSV, TSV, JSON lines, Parquet, data frames or lists of rows.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.core.retrieval import (
    Judgements,
    RetrievalCorpus,
    judgements_of,
    repeated,
    whole_text,
)
from mmjax.data.io.files import atomic_write_text
from mmjax.data.io.readers import PathLike
from mmjax.data.io.records import Rows, first_of, records_of, word_of

_ID = ("_id", "id", "doc_id", "docid", "document_id", "query_id", "qid", "pid")
_TEXT = ("text", "contents", "content", "body", "passage", "document", "query", "question")
_TITLE = ("title", "name")
_QUERY = ("query-id", "query_id", "qid", "query", "topic")
_DOCUMENT = ("corpus-id", "corpus_id", "doc_id", "docid", "document_id", "document", "pid")
_GRADE = ("score", "grade", "relevance", "rel", "label", "judgement")
_PARTS = {"train": "train", "dev": "valid", "valid": "valid", "test": "test"}
_WRITTEN = {"train": "train", "valid": "dev", "test": "test"}
Table = PathLike | Rows | Any


def load_corpus(folder: PathLike, name: str = "") -> RetrievalCorpus:
    """The collection in a BEIR folder, or in one that `prepare_corpus` wrote.

    Args:
        folder: as the module describes it.
        name: of the collection; default is the folder's.

    Raises:
        FileNotFoundError: documents or queries are missing; the message says which file.
        DataError: a judgement of an unknown document or query, an empty text, a repeated id or a
            broken line; with file and row.
    """
    folder = Path(folder)
    parts: dict[str, Path] = {}
    for part, own in _PARTS.items():
        path = _file(folder / "qrels", f"{part}.tsv")
        if path is not None:
            if own in parts:
                raise DataError(f"{folder}: {parts[own].name} and {path.name} are one part")
            parts[own] = path
    documents, queries = (_file(folder, f"{n}.jsonl") for n in ("corpus", "queries"))
    for found, what in ((documents, "corpus.jsonl"), (queries, "queries.jsonl")):
        if found is None:
            raise FileNotFoundError(
                f"{folder} has no {what} or {what}.gz: give a BEIR folder, or make one from "
                "tables by mmjax.data.prepare_corpus"
            )
    return prepare_corpus(documents, queries, parts, name=name or folder.resolve().name)


def prepare_corpus(
    documents: Table,
    queries: Table,
    judgements: Table | Mapping[str, Table] = (),
    *,
    name: str = "corpus",
    out: PathLike | None = None,
) -> RetrievalCorpus:
    """A collection from tables; ids stay the words that they are, "NA" too.

    Args:
        documents: a file, data frame or list of rows with columns id, text, and title if it has.
        queries: with columns id and text.
        judgements: with query, document, and grade (1 where there is no such column); by part
            "train", "valid" ("dev") and "test", or one table, all of which is "test" unless it has
            a column split. A TSV may lack the header; TREC's four columns are read.
        name: of the collection.
        out: a folder to write it to, as BEIR has it.

    Raises:
        DataError: see `load_corpus`.
        FileNotFoundError: there is no such file.
    """
    where, rows = records_of(documents, "documents")
    document_ids, titles, texts = [], [], []
    for row, record in rows:
        document_ids.append(_id(record, where, row))
        title = whole_text(word_of(first_of(record, _TITLE)))
        text = whole_text(word_of(first_of(record, _TEXT)))
        if not (title + text).strip():
            raise DataError(f"{where}, row {row}: document {document_ids[-1]!r} has no text")
        titles.append(title)
        texts.append(text)
    document = repeated(document_ids, where=where)
    where, rows = records_of(queries, "queries")
    query_ids, words = [], []
    for row, record in rows:
        query_ids.append(_id(record, where, row))
        words.append(whole_text(word_of(first_of(record, _TEXT))))
        if not words[-1].strip():
            raise DataError(f"{where}, row {row}: query {query_ids[-1]!r} has no text")
    query = repeated(query_ids, where=where)
    corpus = RetrievalCorpus(
        name=name,
        document_ids=tuple(document_ids),
        titles=tuple(titles),
        texts=tuple(texts),
        query_ids=tuple(query_ids),
        queries=tuple(words),
        judgements=_judged(judgements, query, document),
        source=str(documents) if isinstance(documents, str | os.PathLike) else name,
    )
    if out is not None:
        save_corpus(corpus, out)
    return corpus


def save_corpus(corpus: RetrievalCorpus, folder: PathLike) -> None:
    """Write a collection as a BEIR folder; `load_corpus` reads the same back."""
    import json

    folder = Path(folder)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    names = zip(corpus.document_ids, corpus.titles, corpus.texts, strict=True)
    lines = [json.dumps({"_id": i, "title": t, "text": x}, ensure_ascii=False) for i, t, x in names]
    atomic_write_text(folder / "corpus.jsonl", "".join(line + "\n" for line in lines))
    asked = zip(corpus.query_ids, corpus.queries, strict=True)
    lines = [json.dumps({"_id": i, "text": x}, ensure_ascii=False) for i, x in asked]
    atomic_write_text(folder / "queries.jsonl", "".join(line + "\n" for line in lines))
    for part, judged in corpus.judgements.items():
        lines = ["query-id\tcorpus-id\tscore"]
        for q, d, grade in zip(judged.query, judged.document, judged.grade, strict=True):
            number = f"{float(grade):g}"
            lines.append(f"{corpus.query_ids[q]}\t{corpus.document_ids[d]}\t{number}")
        path = folder / "qrels" / f"{_WRITTEN[part]}.tsv"
        atomic_write_text(path, "\n".join(lines) + "\n")


def _file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _id(record: Mapping[str, Any], where: str, row: int) -> str:
    name = word_of(first_of(record, _ID))
    if not name:
        raise DataError(f"{where}, row {row}: no id; give a column {_ID[0]} or {_ID[1]}")
    if any(c in name for c in "\t\r\n"):
        raise DataError(f"{where}, row {row}: id {name!r} has a tab or a line break; rename it")
    return whole_text(name)


def _judged(
    judgements: Any, query: Mapping[str, int], document: Mapping[str, int]
) -> dict[str, Judgements]:
    tables = judgements if _by_part(judgements) else {"": judgements}
    found: dict[str, tuple[list[int], list[int], list[float]]] = {}
    places: dict[tuple[str, int, int], int] = {}
    for given, table in tables.items():
        where, rows = records_of(table, "judgements", header=(_QUERY, _DOCUMENT))
        for row, record in rows:
            named = given or word_of(record.get("split")) or "test"
            part = _PARTS.get(named)
            if part is None:
                raise DataError(f"{where}, row {row}: split {named!r}; give one of {set(_PARTS)}")
            q, d = (word_of(first_of(record, names)) for names in (_QUERY, _DOCUMENT))
            for what, name, known in (("query", q, query), ("document", d, document)):
                if name not in known:
                    raise DataError(f"{where}, row {row}: judges {what} {name!r}, which is unknown")
            pair = (part, query[q], document[d])
            if pair in places:
                raise DataError(f"{where}, row {row}: {q!r}, {d!r} is judged in row {places[pair]}")
            places[pair] = row
            queries, documents, grades = found.setdefault(part, ([], [], []))
            queries.append(pair[1])
            documents.append(pair[2])
            grades.append(_grade(record, where, row))
    return {
        part: judgements_of(
            np.array(q),
            np.array(d),
            np.array(g, np.float32),
            n_queries=len(query),
            n_documents=len(document),
            where=part,
        )
        for part, (q, d, g) in found.items()
    }


def _by_part(judgements: Any) -> bool:
    return isinstance(judgements, Mapping) and all(k in _PARTS for k in judgements)


def _grade(record: Mapping[str, Any], where: str, row: int) -> float:
    given = first_of(record, _GRADE)
    try:
        grade = 1.0 if given is None else float(given)
    except (TypeError, ValueError):
        grade = float("nan")
    if not np.isfinite(grade):
        raise DataError(f"{where}, row {row}: grade {given!r}; give a finite number")
    return grade
