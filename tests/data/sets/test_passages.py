"""Shipped passages, their TFDS form, and corpora in IncDSI's files."""

import json

import numpy as np
import pytest

from mmjax.data.core.checks import DataError
from mmjax.data.formats.incdsi import FILES, load_incdsi
from mmjax.data.loading import load
from mmjax.data.registry import builder, names

SIZES = {"xquad": (240, 1190), "nq_qed": (1343, 1355), "squad_sentences": (13447, 22447)}


@pytest.mark.parametrize("name", names("passages"))
def test_shipped_passages(name):
    data = load(name, kind="passages")
    assert (len(data.text), len(data.question)) == SIZES[name]
    assert set(data.document.tolist()) == set(range(len(data.text)))
    assert len(data.titles) == len(data.text) and all(data.question)
    if name == "xquad":
        assert len(set(data.titles)) == 48
        n = data.question.index("How many points did the Panthers defense surrender?")
        assert "308 points" in data.text[data.document[n]]


def test_a_set_as_tfds(tmp_path, capsys):
    for table, rows in (("passages", 240), ("questions", 1190)):
        instance = builder("xquad")(data_dir=tmp_path, config=table, file_format="array_record")
        instance.download_and_prepare()
        found = instance.as_data_source(table)
        assert len(found) == rows
    data = load("xquad")
    assert found[7]["text"].decode() == data.question[7]
    assert found[7]["document"] == data.document[7]


def test_unknown_passages_are_refused():
    with pytest.raises(
        ValueError, match="no data set 'squad'; choose xquad, squad_sentences, nq_qed$"
    ):
        load("squad", kind="passages")


def _write(folder, documents, generated=2):
    folder.mkdir()
    for file, (part, field) in FILES.items():
        copies = generated if part == "generated" else 1
        rows = [{"doc_id": d, field: f"{part} {d}"} for d in documents for _ in range(copies)]
        (folder / file).write_text("\n".join(map(json.dumps, rows)))


def test_files_of_incdsi(tmp_path):
    with pytest.raises(FileNotFoundError, match="lacks old_docs/trainqueries.json"):
        load_incdsi(tmp_path, "nq320k")
    _write(tmp_path / "old_docs", ["a", "b", "c"])
    _write(tmp_path / "new_docs", list("defgh"))
    corpus = load_incdsi(tmp_path, "nq320k", sessions=2, per_session=2, generated=1)
    assert corpus.titles == tuple("abcdefg")
    assert [corpus.rows(n) for n in range(3)] == [(0, 3), (3, 5), (5, 7)]
    assert len(corpus.queries_of(1, "generated")) == 2
    for n, text in enumerate(corpus.queries):
        assert corpus.titles[corpus.document[n]] == text[-1]
    assert np.bincount(corpus.part).tolist() == [7, 7, 7, 7]
    (tmp_path / "new_docs" / "testqueries.json").write_text('{"doc_id": 1}\n')
    with pytest.raises(DataError, match="testqueries.json, line 1"):
        load_incdsi(tmp_path, "nq320k")
