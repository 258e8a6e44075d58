"""PromptDSI by command: corpora, measures, stages, search, tables."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import readme
from experiments.prompt_dsi import analysis
from experiments.prompt_dsi.__main__ import main
from experiments.prompt_dsi.analysis import METRICS, load_corpus, load_problem
from experiments.prompt_dsi.config import DATA, EXPERIMENT, METHODS, CorporaRun, preset
from experiments.prompt_dsi.run import Trained, replayed, save_index, start
from mmjax.encoders.text.topics import topic_words
from mmjax.evaluation.continual import measures_by_metric
from mmjax.models.retrieval.incdsi import draw_margins
from mmjax.models.retrieval.prompt_dsi import initial_stage
from mmjax.training.optim import optimiser
from mmjax.training.pipeline import Pipeline
from mmjax.training.records import Record, load_record
from mmjax.training.run_config import override

ONE = [
    *("--first.fit.quiet", "--first.fit.devices", "1"),
    *("--later.fit.quiet", "--later.fit.devices", "1"),
]


def test_measures_of_a_matrix():
    p = [[0.8], [0.7, 0.6], [0.65, 0.5, 0.4]]
    matrix = [[{name: x for name in METRICS} for x in r] for r in p]
    got = measures_by_metric(matrix, METRICS)
    want = {"A": 1.55 / 3, "F": 0.125, "F_new": 0.1, "LA": 0.5, "D0_lost": 0.15, "new": 0.45}
    assert {k: got[f"hits@10/{k}"] for k in want} == pytest.approx(want)


def test_presets_and_flags():
    for data, method, folder in itertools.product(DATA, METHODS, ("", "somewhere")):
        config = preset(data, method, encoder_folder=folder)
        assert (config.data, config.method) == (data, method)
        again = preset(data, "topic", encoder_folder=folder)
        assert config.first_settings() == again.first_settings() and config.first == again.first
    config = EXPERIMENT.parse(["--method", "l2p", "--data", "xquad", "--model.pool", "7"])
    assert (config.model.prompts, config.model.pool, config.data) == ("l2p", 7, "xquad")
    read = EXPERIMENT.parse(["--method", "finetune", "--encoder.folder", "somewhere"])
    assert read.encoder.folder == Path("somewhere")
    drawn = EXPERIMENT.parse(["--method", "finetune"])
    assert read.later.optim.learning_rate < drawn.later.optim.learning_rate
    assert main(["--method", "none"]) == 2


def test_decay_spares_biases_norms_and_keys():
    params = {
        "pool": {"keys": jnp.ones(2), "prompts": jnp.ones(2)},
        "encoder": {"attention": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}},
    }
    own = {"weight_decay": 0.5, "learning_rate": 0.1}
    tx = optimiser(override(preset("xquad", "topic").later.optim, own), 1)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    moved = jax.tree.map(lambda x: bool((x != 0).any()), updates)
    assert moved["pool"] == {"keys": False, "prompts": True}
    assert moved["encoder"]["attention"] == {"kernel": True, "bias": False}


@pytest.mark.parametrize("arrival", ["topic", "time"])
def test_corpora_of_real_text(arrival):
    config = override(preset("xquad", "topic"), {"arrival": arrival})
    corpus = load_corpus(config)
    assert corpus.n_sessions == 6 and corpus.n_documents == 240
    assert corpus.rows(0)[1] == pytest.approx(168, abs=8)
    if arrival == "topic":
        sessions: dict[str, set[int]] = {}
        for title, session in zip(corpus.titles, corpus.session.tolist(), strict=True):
            sessions.setdefault(title, set()).add(session)
        assert all(len(found) == 1 for found in sessions.values())
    problem = load_problem(config)
    assert problem.ids.max() < config.encoder.vocabulary
    assert (problem.ids[:, 0] == 1).all()


def test_replay_keeps_some_queries_of_each_earlier_document():
    problem = load_problem(EXPERIMENT.parse(["--smoke", "--method", "replay"]))
    kept = replayed(problem, 2)
    document = problem.corpus.document[kept]
    assert np.bincount(document, minlength=16).tolist() == [2] * 12 + [0] * 4
    assert (problem.corpus.part[kept] == 0).all()


def test_topics_are_named_by_their_words():
    texts = ["the cat sat", "a cat and the dog", "the stars shine", "stars the night", "the end"]
    found = topic_words(texts, np.array([0, 0, 1, 1, -1]), 2)
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
    text = analysis.table(rows)
    assert text.index("PromptDSI, topics") < text.index("IncDSI") < text.index("fine-tuning")
    claims = analysis.claims(rows)
    assert "| PromptDSI loses less than 5 points on D0 | 1.00 | yes |" in claims
    assert "| PromptDSI over IncDSI on new corpora, points | -2.00 | no |" in claims
    path = Path(analysis.__file__).with_name("README.md")
    assert path.read_text() == readme.filled(path.read_text(), analysis.bodies())


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
    assert main([*command, "--later.optim.learning-rate", "0.5"]) == 2


def test_the_smoke_form_is_small():
    small = EXPERIMENT.parse(["--smoke"])
    assert isinstance(small, CorporaRun) and small.encoder.width == 8 and small.model.pool == 6


def test_margins_are_drawn_from_the_authors_ranges():
    found = draw_margins(19, 3)
    assert len(found) == 19 and found == draw_margins(19, 3) != draw_margins(19, 4)
    assert all(0.05 <= m.balance <= 0.95 and 0 <= m.new <= 8 and 0 <= m.old <= 8 for m in found)
    assert all(1e-10 <= m.decay <= 1e-3 for m in found)
    assert draw_margins(0, 0) == []


def test_flags_win_over_the_smoke_form():
    run = EXPERIMENT.parse(["--smoke", "--first.fit.epochs", "3", "--encoder.width", "16"])
    assert (run.first.fit.epochs, run.later.fit.epochs, run.encoder.width) == (3, 2, 16)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "netflix"], "choose one of topic_documents"),
        (["--preset", "paper"], "no preset"),
        (["--method", "none"], "choose one of topic"),
    ],
)
def test_unknown_names_are_refused(flags, message, capsys):
    assert main(flags) == 2
    assert message in capsys.readouterr().err


def test_search_answers_from_the_folder(tmp_path, capsys):
    problem = load_problem(EXPERIMENT.parse(["--smoke"]))
    weights, stage = start(problem), initial_stage(12)
    # Only the row of document 5 is in the direction of the queries.
    query = problem.encoder.tokens(["w3 w17"])
    found = np.asarray(problem._replace(ids=query).encoded(weights, np.array([0])).features)
    weights |= {"rows": jnp.zeros_like(weights["rows"]).at[5].set(found[0])}
    save_index(problem, Pipeline(tmp_path / "seed_0"), Trained(stage, weights))
    command = ["search", "w3 w17", "--workdir", str(tmp_path), "--k", "3"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    best = problem.corpus.titles[5]
    assert len(lines) == 3 and lines[0].endswith(best) and lines[0].split()[0] == "1"
    assert float(lines[0].split()[1]) == pytest.approx((found[0] ** 2).sum(), abs=1e-3)
    assert main([*command, "--out", str(tmp_path / "found.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert (rows[0]["document"], rows[0]["title"]) == (5, best)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["words"], "no finished run"),
        (["words", "--k", "0"], "1 or more"),
        ([" "], "1 or more"),
        (["words", "--out", "found.txt"], ".parquet or .jsonl"),
    ],
)
def test_searches_that_cannot_be_are_refused(flags, message, tmp_path, capsys):
    assert main(["search", *flags, "--workdir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
