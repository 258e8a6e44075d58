"""Test collections: BEIR folders and tables, graded judgements, and what is refused."""

import gzip
import json

import pytest

from mmjax.data import DataError, load_corpus, prepare_corpus

DOCUMENTS = [
    {"_id": "NA", "title": "Wine", "text": 'a "dry red'},
    {"_id": "007", "title": "", "text": "a spy\ud800"},
    {"_id": "null", "title": "Nothing", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "red drink"}, {"_id": "nan", "text": "agent"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\tNA\t2\nq1\tnull\t1\nnan\t007\t1\n"


def beir(folder, *, packed=False, qrels=QRELS, documents=DOCUMENTS, queries=QUERIES):
    (folder / "qrels").mkdir(parents=True)
    files = {
        "corpus.jsonl": "".join(json.dumps(d) + "\n" for d in documents),
        "queries.jsonl": "".join(json.dumps(q) + "\n" for q in queries),
        "qrels/test.tsv": qrels,
    }
    for name, text in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("header", [True, False])
def test_a_beir_folder_is_read_as_it_is(tmp_path, packed, header):
    qrels = QRELS if header else QRELS.partition("\n")[2]
    corpus = load_corpus(beir(tmp_path / "wine", packed=packed, qrels=qrels))
    assert corpus.name == "wine"
    assert corpus.document_ids == ("NA", "007", "null")
    assert corpus.query_ids == ("q1", "nan")
    assert corpus.texts[:2] == ('a "dry red', "a spy\ufffd")
    judged = corpus.judgements["test"]
    documents, grades = judged.of(0)
    assert documents.tolist() == [0, 2] and grades.tolist() == [2, 1]
    assert judged.of(1)[0].tolist() == [1]


def test_a_written_folder_reads_back_the_same(tmp_path):
    corpus = load_corpus(beir(tmp_path / "a"))
    again = prepare_corpus(DOCUMENTS, QUERIES, _rows(), out=tmp_path / "b")
    assert load_corpus(tmp_path / "b").digest == corpus.digest == again.digest


def _rows():
    lines = [line.split("\t") for line in QRELS.splitlines()[1:]]
    return [{"query": q, "document": d, "grade": g} for q, d, g in lines]


def test_tables_by_part(tmp_path):
    (tmp_path / "d.csv").write_text('id,text\n1,"a, b"\n2,c\n')
    (tmp_path / "q.tsv").write_text('id\ttext\nx\tsay "b\n')
    (tmp_path / "j.csv").write_text("qid,doc_id,split\nx,1,train\nx,2,dev\n")
    files = [tmp_path / n for n in ("d.csv", "q.tsv", "j.csv")]
    corpus = prepare_corpus(*files)
    assert corpus.texts == ("a, b", "c") and corpus.queries == ('say "b',)
    assert {p: j.document.tolist() for p, j in corpus.judgements.items()} == {
        "train": [0],
        "valid": [1],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qrels": QRELS + "q1\tmissing\t1\n"}, r"test\.tsv, row 5: judges document 'missing'"),
        ({"qrels": QRELS + "q9\tNA\t1\n"}, r"test\.tsv, row 5: judges query 'q9'"),
        ({"qrels": QRELS + "q1\tNA\t1\n"}, r"test\.tsv, row 5: 'q1', 'NA' is judged in row 2"),
        ({"qrels": QRELS + "nan\tNA\tinf\n"}, r"test\.tsv, row 5: grade 'inf'"),
        ({"qrels": QRELS + "nan\tNA\n"}, r"test\.tsv, row 5: 2 cells under 3 columns"),
        ({"documents": [*DOCUMENTS, DOCUMENTS[0]]}, r"jsonl: 'NA' stands in rows 1 and 4"),
        (
            {"documents": [*DOCUMENTS, {"_id": "e", "text": " "}]},
            r"jsonl, row 4: .* no text",
        ),
        ({"queries": [*QUERIES, {"_id": "e", "text": ""}]}, r"queries\.jsonl, row 3: .* no text"),
        ({"queries": [*QUERIES, {"text": "x"}]}, r"queries\.jsonl, row 3: no id"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_row(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_corpus(beir(tmp_path / "c", **change))


def test_a_stray_quote_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "d.csv").write_text('id,text\n1,"a\n2,c\n')
    with pytest.raises(DataError, match=r"d\.csv, row 2: .* stray quote"):
        prepare_corpus(tmp_path / "d.csv", QUERIES)
    with pytest.raises(FileNotFoundError, match=r"no corpus\.jsonl"):
        load_corpus(tmp_path)
