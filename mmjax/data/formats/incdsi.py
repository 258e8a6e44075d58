"""NQ320k and MS MARCO as IncDSI prepared them, from a folder that a user filled by hand.

The folder has ``old_docs`` and ``new_docs``, each with JSON lines: ``trainqueries.json``,
``valqueries.json``, ``testqueries.json`` (a ``question`` and its ``doc_id``) and
``passages_seen.json`` (a ``gen_question`` of docT5query and its ``doc_id``). The pickled lists
beside them are not read: a document is one that a line names. V. Kishore et al., ICML 2023,
arXiv 2307.10323; address in varshakishore/IncDSI.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.core.continual import ContinualCorpus, in_sessions

FILES = {
    "trainqueries.json": ("train", "question"),
    "passages_seen.json": ("generated", "gen_question"),
    "valqueries.json": ("valid", "question"),
    "testqueries.json": ("test", "question"),
}
FOLDERS = ("old_docs", "new_docs")
_HOMEPAGE = "https://github.com/varshakishore/IncDSI"


def load_incdsi(
    folder: Path, name: str, *, sessions: int = 5, per_session: int = 2000, generated: int = 15
) -> ContinualCorpus:
    """The corpora D_0 (old documents) and D_1 .. D_n (new ones in the order of their first line).

    Args:
        folder: with ``old_docs`` and ``new_docs``.
        name: of the data set, such as "nq320k".
        sessions: corpora of new documents; the last one may be smaller.
        per_session: documents of each.
        generated: greatest number of generated queries of a document.

    Raises:
        FileNotFoundError: files are missing; the message says which, and from where.
        DataError: a line is no JSON, or lacks a field.
    """
    missing = [f"{d}/{f}" for d in FOLDERS for f in FILES if not (folder / d / f).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: get the data that {_HOMEPAGE} links to and put "
            f"its folders {' and '.join(FOLDERS)} there"
        )
    place: dict[str, int] = {}
    session: list[int] = []
    queries: list[tuple[int, str, str]] = []
    for directory in FOLDERS:
        first = len(place) if directory == "new_docs" else None
        for file, (part, field) in FILES.items():
            kept: dict[int, int] = {}
            for document, text in _lines(folder / directory / file, field):
                if document not in place:
                    number = 0 if first is None else (len(place) - first) // per_session + 1
                    session.append(number)
                number = place.setdefault(document, len(place))
                kept[number] = kept.get(number, 0) + 1
                if part != "generated" or kept[number] <= generated:
                    queries.append((number, part, text))
    use = np.array(session) <= sessions
    # Documents of sessions that are not wanted stand last, so that numbers stay.
    queries = [row for row in queries if use[row[0]]]
    titles = [title for title, wanted in zip(place, use, strict=True) if wanted]
    split = f"incdsi-{sessions}x{per_session}"
    return in_sessions(name, split, np.array(session)[use], titles, queries, _HOMEPAGE)


def _lines(path: Path, field: str) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield str(row["doc_id"]), str(row[field])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}, line {number}: no JSON with doc_id and {field} ({error}); copy the "
                    "file again"
                ) from error
