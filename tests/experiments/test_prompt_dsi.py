"""PromptDSI by command: corpora, measures, stages, tables."""

import dataclasses
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import readme
from experiments.prompt_dsi import tables
from experiments.prompt_dsi.cli import main, parse_run
from experiments.prompt_dsi.config import IncDSI, PromptDSI, shrink
from experiments.prompt_dsi.evaluation import measures
from experiments.prompt_dsi.presets import DATA, METHODS, preset
from experiments.prompt_dsi.problem import load_corpus, load_problem, optimiser
from experiments.prompt_dsi.solved import draws
from experiments.prompt_dsi.stages import _kept
from experiments.prompt_dsi.topics import names
from mmjax.training.records import Record, load_record

ONE = [
    *("--first.fit.quiet", "--first.fit.devices", "1"),
    *("--later.fit.quiet", "--later.fit.devices", "1"),
]


def test_measures_of_a_matrix():
    p = [[0.8], [0.7, 0.6], [0.65, 0.5, 0.4]]
    matrix = [[dict.fromkeys(("hits@1", "hits@10", "mrr@10"), x) for x in r] for r in p]
    got = measures(matrix)
    want = {"A": 1.55 / 3, "F": 0.125, "F_new": 0.1, "LA": 0.5, "D0_lost": 0.15, "new": 0.45}
    assert {k: got[f"hits@10/{k}"] for k in want} == pytest.approx(want)


def test_presets_and_flags():
    for data, method, published in itertools.product(DATA, METHODS, (False, True)):
        config = preset(data, method, published=published)
        assert (config.data, config.method) == (data, method)
        again = preset(data, "topic", published=published).first_identity()
        assert config.first_identity() == again
    config = parse_run(["--method", "l2p", "--data", "xquad", "--model.pool", "7"])
    assert (config.model.prompts, config.model.pool, config.data) == ("l2p", 7, "xquad")
    read = parse_run(["--method", "finetune", "--encoder.folder", "somewhere"])
    assert read.encoder.folder == Path("somewhere")
    assert read.later.learning_rate < parse_run(["--method", "finetune"]).later.learning_rate
    assert main(["--method", "none"]) == 2


def test_decay_spares_biases_norms_and_keys():
    params = {
        "pool": {"keys": jnp.ones(2), "prompts": jnp.ones(2)},
        "encoder": {"attention": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}},
    }
    config = dataclasses.replace(preset("xquad").later, weight_decay=0.5, learning_rate=0.1)
    tx = optimiser(config)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    moved = jax.tree.map(lambda x: bool((x != 0).any()), updates)
    assert moved["pool"] == {"keys": False, "prompts": True}
    assert moved["encoder"]["attention"] == {"kernel": True, "bias": False}


@pytest.mark.parametrize("arrival", ["topic", "time"])
def test_corpora_of_real_text(arrival):
    config = dataclasses.replace(preset("xquad"), arrival=arrival)
    corpus = load_corpus(config)
    assert corpus.n_sessions == 6 and corpus.n_documents == 240
    assert corpus.rows(0)[1] == pytest.approx(168, abs=8)
    if arrival == "topic":
        sessions: dict[str, set[int]] = {}
        for title, session in zip(corpus.titles, corpus.session.tolist(), strict=True):
            sessions.setdefault(title, set()).add(session)
        assert all(len(found) == 1 for found in sessions.values())
    problem = load_problem(config, corpus)
    assert problem.ids.max() < config.encoder.vocabulary
    assert (problem.ids[:, 0] == 1).all()


def test_replay_keeps_some_queries_of_each_earlier_document():
    config = shrink(dataclasses.replace(preset("topic_documents", "replay"), smoke=True))
    problem = load_problem(config, load_corpus(config))
    kept = _kept(config, problem, 2, seed=0)
    document = problem.corpus.document[kept]
    assert np.bincount(document, minlength=16).tolist() == [2] * 12 + [0] * 4
    assert (problem.corpus.part[kept] == 0).all()


def test_topics_are_named_by_their_words():
    texts = ["the cat sat", "a cat and the dog", "the stars shine", "stars the night", "the end"]
    found = names(texts, np.array([0, 0, 1, 1, -1]), 2)
    assert found[0][0] == "cat" and found[1][0] == "stars"
    assert "the" not in (found[0][0], found[1][0]) and "end" not in found[0] + found[1]


def _record(method, **figures):
    test = {name: [value] for name, value in figures.items()}
    return Record(method, "d", "s", "none", [0], {}, test, [], [], 1.0, 1, {}, "", "", "", {})


def test_tables_and_claims():
    rows = {
        "topic": _record("topic", **{"hits@10/new": 0.7, "hits@10/D0_lost": 0.01}),
        "incdsi": _record("incdsi", **{"hits@10/new": 0.72}),
        "finetune": _record("finetune", **{"hits@10/D0_lost": 0.44}),
    }
    text = tables.table(rows)
    assert text.index("PromptDSI, topics") < text.index("IncDSI") < text.index("fine-tuning")
    told = tables.claims(rows)
    assert "| PromptDSI loses less than 5 points on D0 | 1.00 | yes |" in told
    assert "| PromptDSI over IncDSI on new corpora, points | -2.00 | no |" in told
    path = Path(tables.__file__).with_name("README.md")
    assert path.read_text() == readme.filled(path.read_text(), tables.bodies())


@pytest.mark.slow
def test_methods_from_one_first_stage(tmp_path):
    base = ["--smoke", "--base", str(tmp_path / "base"), *ONE]
    for method in ("topic", "incdsi", "ewc", "replay"):
        command = [*base, "--method", method, "--workdir", str(tmp_path / method)]
        assert main(command) == 0
        record = load_record(tmp_path / method / "record.json")
        assert (record.method, record.data) == (method, "topic_documents")
        assert 0 <= record.mean("hits@10/A") <= 1
    command = [*base, "--workdir", str(tmp_path / "topic")]
    before = load_record(tmp_path / "topic" / "record.json").test
    assert main(command) == 0
    after = load_record(tmp_path / "topic" / "record.json").test
    same = [n for n in before if not n.startswith("seconds")]
    assert {n: before[n] for n in same} == {n: after[n] for n in same}
    assert main([*command, "--later.learning-rate", "0.5"]) == 2


def test_the_smoke_form_is_small():
    small = shrink(preset("topic_documents"))
    assert isinstance(small, PromptDSI) and small.encoder.width == 8 and small.model.pool == 6


def test_margins_are_drawn_from_the_authors_ranges():
    start = IncDSI(trials=20, queries=7)
    found = draws(start, 3)
    assert len(found) == 19 and found == draws(start, 3) != draws(start, 4)
    assert all(0.05 <= m.balance <= 0.95 and 0 <= m.new <= 8 and 0 <= m.old <= 8 for m in found)
    assert all(1e-10 <= m.decay <= 1e-3 and m.queries == 7 for m in found)
    assert draws(IncDSI(trials=1), 0) == []
