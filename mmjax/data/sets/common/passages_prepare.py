"""Makes the shipped files of xquad, nq_qed and squad_sentences from what they are derived from.

    python -m mmjax.data.sets.common.passages_prepare NAME SOURCE

SOURCE is `xquad.en.json.gz` (google-deepmind/xquad, commit 7d30520), `qed-dev.jsonlines.gz`
(google-research-datasets/QED, commit 2492920), or the folder of `sentences.parquet` and
`questions.parquet` (lines of xinyadu/nqg, commit 8211129, equal sentences merged). Equal passages
become one.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mmjax.data.sets.common.passages import save_passages
from mmjax.data.sets.common.source import package_directory


def main(name: str, source: Path) -> None:
    """Read `source` and write the package's files."""
    readers = {"xquad": _xquad, "nq_qed": _nq_qed, "squad_sentences": _squad_sentences}
    place: dict[tuple[str, str], int] = {}
    questions = []
    for title, text, question in readers[name](source):
        key = (_clean(title), _clean(text))
        questions.append((place.setdefault(key, len(place)), _clean(question)))
    titles, texts = map(list, zip(*place, strict=True))
    save_passages(package_directory(name), texts, titles, questions)


def _clean(text: str) -> str:
    return " ".join(text.split())


def _xquad(source: Path) -> Iterator[tuple[str, str, str]]:
    for article in json.loads(gzip.decompress(source.read_bytes()))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                yield article["title"].replace("_", " "), paragraph["context"], qa["question"]


def _nq_qed(source: Path) -> Iterator[tuple[str, str, str]]:
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["title_text"], row["paragraph_text"], row["question_text"]


def _squad_sentences(source: Path) -> Iterator[tuple[str, str, str]]:
    from pyarrow import parquet

    rows = parquet.read_table(source / "sentences.parquet").to_pylist()
    text = {row["doc"]: row["text"] for row in rows}
    for row in parquet.read_table(source / "questions.parquet").to_pylist():
        words = text[row["doc"]].split()
        yield " ".join(words[:8]), text[row["doc"]], row["question"]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
