"""PromptDSI on a test collection of one's own: its rows, and what counts as a hit."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.prompt_dsi.__main__ import main
from experiments.prompt_dsi.config import preset
from mmjax.data import dealt_to_sessions, judged_documents, load_corpus, prepare_corpus
from mmjax.evaluation.gallery import answers_task, hits_and_mrr

N = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve documents; a query of each part for every document, which two documents answer."""
    out = tmp_path_factory.mktemp("own") / "collection"
    documents = [
        {"_id": f"d{n}", "title": f"T{n}", "text": f"word{n} of topic{n % 3}"} for n in range(N)
    ]
    queries = [{"_id": f"{p}{n}", "text": f"{p} word{n}"} for p in "abc" for n in range(N)]
    parts = {}
    for letter, part in zip("abc", ("train", "dev", "test"), strict=True):
        parts[part] = [
            {"query": f"{letter}{n}", "document": f"d{m % N}", "grade": 2 - (m > n)}
            for n in range(N)
            for m in (n, n + 1)
        ]
    prepare_corpus(documents, queries, parts, out=out)
    return out


def test_every_relevant_document_counts(folder):
    documents = judged_documents(load_corpus(folder), 0)
    corpus = dealt_to_sessions(documents, "time", new=2, share=0.5, seed=0)
    assert (corpus.part == 0).sum() == 2 * N
    rows, pairs = corpus.asked(0, "test", 6)
    assert len(rows) == len({corpus.queries[r] for r in rows}) == 7
    asked = {corpus.queries[r]: set() for r in rows}
    for place, document in pairs.tolist():
        asked[corpus.queries[rows[place]]].add(document)
    assert asked["c word2"] == {2, 3}
    assert asked["c word5"] == {5} and asked["c word11"] == {0}  # the others are yet to come
    task = answers_task(pairs, len(rows), 6)
    second = np.array([[(int(q.removeprefix("c word")) + 1) % N] for q in asked])
    hits = hits_and_mrr(task, jnp.asarray(np.where(second < 6, second, -1), jnp.int32), ks=(1,))
    assert hits["hits@1"] == pytest.approx(6 / 7)


def test_parts_that_lack_are_dealt_by_query(folder, tmp_path):
    whole = load_corpus(folder)
    lines = (folder / "qrels/test.tsv").read_text().splitlines()[1:]
    rows = [dict(zip(("query", "document", "grade"), x.split("\t"), strict=True)) for x in lines]
    documents = [{"id": i, "text": t} for i, t in zip(whole.document_ids, whole.texts, strict=True)]
    queries = [{"id": i, "text": t} for i, t in zip(whole.query_ids, whole.queries, strict=True)]
    found = judged_documents(prepare_corpus(documents, queries, rows), 0)
    texts = {p: {q for _, own, q in found.queries if own == p} for p in ("valid", "test")}
    assert len(texts["valid"]) == 3 and len(texts["test"]) == 9
    assert not texts["valid"] & texts["test"]
    with pytest.raises(ValueError, match="0 judged queries"):
        judged_documents(prepare_corpus(documents, queries), 0)


@pytest.mark.slow
def test_the_command_takes_a_folder(folder, tmp_path, capsys):
    flags = ["--smoke", "--data", str(folder), "--arrival", "time", "--sessions", "1"]
    one = [f"--{s}.fit.{f}" for s in ("first", "later") for f in ("quiet", "devices=1")]
    assert main([*flags, *one, "--method", "classifier", "--workdir", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["data"] == "collection"
    assert main(["search", "word3", "--workdir", str(tmp_path), "--k", "2"]) == 0
    assert "T" in capsys.readouterr().out
    with pytest.raises(ValueError, match="or a BEIR folder"):
        preset(str(tmp_path / "nowhere"), "topic")
