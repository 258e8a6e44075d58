"""Models of sequences by command: train, resume, report, recommend; SASRec learns the order."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.common import readme
from experiments.common.baselines import baseline
from experiments.common.config import SEQUENCE_SMOKE
from experiments.common.recommend import Recommend
from experiments.common.sequences import (
    VectorMethod,
    evaluator,
    load_data,
    popularity_record,
    recommend,
    run_method,
    top,
)
from experiments.tiger import analysis
from experiments.tiger.__main__ import main
from experiments.tiger.config import DATA, EXPERIMENT, preset
from mmjax.data.synthetic.interactions import chains
from mmjax.errors import UserError
from mmjax.models.registry import of_kind
from mmjax.models.sequential.sasrec.config import SASRecConfig
from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.records import load_record

ONE = ["--fit.devices", "1", "--fit.quiet"]


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """A finished smoke run of the command."""
    folder = tmp_path_factory.mktemp("run")
    return main(["--smoke", "--workdir", str(folder), *ONE]), folder


def test_command_leaves_records_and_a_page(smoke_run):
    status, folder = smoke_run
    assert status == 0
    record = load_record(folder / "record.json")
    assert (record.method, record.data, record.exclude) == ("sasrec", "chains", "none")
    assert record.split == "leave-one-out"
    assert set(record.test) >= {"recall@5", "recall@10", "ndcg@5", "ndcg@10"}
    assert load_record(folder / "baselines" / "popularity" / "record.json").seeds == []
    page = (folder / "report.html").read_text()
    assert "SASRec on chains" in page and "A smoke run" in page and "popularity" in page


def test_the_same_command_again_gives_the_same_record(smoke_run):
    _, folder = smoke_run
    before = load_record(folder / "record.json")
    assert main(["--smoke", "--workdir", str(folder), *ONE]) == 0
    assert load_record(folder / "record.json").test == before.test


def test_another_configuration_in_the_folder_is_refused(smoke_run, capsys):
    _, folder = smoke_run
    assert main(["--smoke", "--workdir", str(folder), *ONE, "--model.dropout", "0.1"]) == 2
    error = capsys.readouterr().err
    assert "another configuration" in error and "model.dropout" in error


def answer(folder, place, **flags):
    out = place / "top.jsonl"
    recommend(Recommend(folder, out=out, **flags), {})
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_recommend_from_the_folder(smoke_run, tmp_path, capsys):
    _, folder = smoke_run
    data = chains()
    rows = answer(folder, tmp_path, users=("3", "7"), k=5)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5] * 2
    assert rows[0]["title"] == data.item_title(int(rows[0]["item"]))
    everything = answer(folder, tmp_path, users=("3",), k=data.n_items)
    known = set(data.of_user(3).tolist())
    assert len(everything) == data.n_items - len(known)
    assert not known & {int(row["item"]) for row in everything}
    seen_too = answer(folder, tmp_path, users=("3",), k=data.n_items, include_seen=True)
    assert len(seen_too) == data.n_items
    assert main(["recommend", "--workdir", str(folder), "--users", "3"]) == 0
    assert "user 3" in capsys.readouterr().out
    assert main(["recommend", "--workdir", str(folder), "--users", "nobody"]) == 2


def small(**changes):
    """SASRec of a size that learns the chains in seconds."""
    start = dataclasses.replace(
        preset("sasrec", "chains"),
        model=SASRecConfig(width=16, layers=1, hidden=16, length=14, dropout=0.1, loss="softmax"),
        optim=OptimConfig(learning_rate=1e-2, batch_size=64),
        fit=FitConfig(
            epochs=12, eval_every=6, metric="recall@10", devices=1, quiet=True, tensorboard=False
        ),
    )
    return dataclasses.replace(start, **changes)


@pytest.fixture(scope="module")
def learned():
    return run_method(small(seeds=2, together=True))


def test_what_knows_the_order_beats_what_does_not(learned):
    data = chains()
    popularity = popularity_record(small(), data)
    assert popularity.mean("recall@10") < 0.15, "10 of 120 items"
    # With the right cluster, ten of its twenty items: 0.9 * 0.5, and a little by chance.
    assert learned.record.mean("recall@10") > 0.38
    assert learned.record.mean("recall@10", "valid") > 0.38
    assert len(learned.record.test["recall@10"]) == len(learned.variables) == 2


def test_one_target_makes_recall_a_hit_and_ndcg_its_discount(learned):
    record = learned.record
    assert record.test["recall@10"] == record.test["hr@10"]
    data = chains()
    method = VectorMethod(small(), data)
    found = top(method, data, learned.variables[0], data.windows("test"), k=10)
    ids, scores = map(np.asarray, found)
    assert (np.diff(scores, axis=1) <= 0).all()
    hit = ids == data.targets(data.windows("test"))[:, None]
    assert hit.sum() / data.n_users == pytest.approx(record.test["recall@10"][0], abs=1e-6)
    gain = (hit / np.log2(np.arange(10) + 2)[None]).sum(1).mean()
    assert gain == pytest.approx(record.test["ndcg@10"][0], abs=1e-5)


def test_what_was_seen_can_be_left_out(learned):
    data = chains()
    windows = data.windows("test")
    method = VectorMethod(small(), data)
    ids = np.asarray(top(method, data, learned.variables[0], windows, k=20, new=True).ids)
    histories = data.pairs(windows)
    for row in range(0, len(ids), 97):
        assert not set(ids[row].tolist()) & set(histories[histories[:, 0] == row, 1].tolist())
    strict = small(filter_seen=True)
    assert strict.exclude == "history"
    task = evaluator(strict, data, "test").task()
    everything = evaluator(small(), data, "test").task()
    assert len(task.users) == len(everything.users) == data.n_users
    assert task.seen.shape[1] > everything.seen.shape[1] == 1


def test_negatives_are_drawn_for_the_loss_that_needs_them():
    data = chains()
    bce = small(model=dataclasses.replace(small().model, loss="bce", negatives=3))
    assert (small().model.n_negatives, bce.model.n_negatives) == (0, 3)
    assert VectorMethod(small(), data).source().batch.args[2] is None
    assert VectorMethod(bce, data).source().batch.args[2] is not None


def test_a_table_of_the_user(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"u{u},i{(u + t) % 7},{t}" for u in range(30) for t in range(6)]
    path.write_text("user,item,timestamp\n" + "\n".join(rows) + "\n")
    config = EXPERIMENT.parse(["--data", str(path)])
    data = load_data(config)
    assert (data.n_users, data.n_items, data.name) == (30, 7, "log")
    assert [data.item_id(int(i)) for i in data.of_user(1)] == [f"i{(1 + t) % 7}" for t in range(6)]


def test_a_baseline_runs_under_the_same_protocol(tmp_path):
    main_run = small(filter_seen=True, ks=(7,), seed=3, seeds=2, workdir=tmp_path, preset="paper")
    other = baseline(main_run, "sasrec", preset, SEQUENCE_SMOKE)
    assert (other.filter_seen, other.ks, other.seed, other.seeds) == (True, (7,), 3, 2)
    assert other.model == preset("sasrec", "chains", "paper").model
    assert other.workdir == tmp_path / "baselines" / "sasrec" and other.fit.quiet


@pytest.mark.parametrize("method", of_kind("sequences", stages=True))
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", ["tuned", "paper"])
def test_every_preset_exists_and_names_itself(method, data, kind):
    start = preset(method, data, kind)
    assert (start.method, start.data, start.preset) == (method, data, kind)
    assert start.fit.metric == "recall@10" and start.ks[:2] == (5, 10) and not start.filter_seen
    assert type(start.model) is of_kind("sequences", stages=True)[method].config_class()


def test_the_paper_preset_is_the_paper():
    model = preset("sasrec", "amazon_beauty", "paper").model
    assert (model.layers, model.heads, model.length, model.dropout) == (2, 1, 50, 0.5)
    assert (model.loss, model.n_negatives, model.width, model.hidden) == ("bce", 1, 50, 50)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--method", "gru"], "choose one of sasrec"), (["--data", "x"], "folder or a .csv file")],
)
def test_unknown_names_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        EXPERIMENT.parse(flags)
    with pytest.raises(ValueError, match="no preset 'best'"):
        preset("sasrec", "chains", "best")


@pytest.mark.process
def test_help_does_not_import_jax():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['tiger', '--help']\n"
        "try:\n"
        "    runpy.run_module('experiments.tiger', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "print('jax' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stdout + done.stderr
    assert "--filter-seen" in done.stdout


def test_readme_tables_are_those_of_the_records():
    text = (analysis.FOLDER / "README.md").read_text()
    bodies = analysis.bodies()
    assert readme.filled(text, bodies) == text
    assert all(f"table:{name} -->" in text for name in bodies)
    assert "TIGER | .0521 | .0371 | .0712 | .0432" in bodies["amazon_toys"]


def test_rows_stand_beside_the_published_ones_of_their_protocol():
    rows = readme.records(analysis.FOLDER / "results")["amazon_beauty"]
    published = analysis.PUBLISHED["amazon_beauty"]
    every = analysis.table(published, rows, exclude="none").lines
    assert [line.paper["recall@10"] for line in every if line.name == "TIGER"] == [0.0648]
    new = analysis.table({"sasrec": published["sasrec"]}, rows, exclude="history").lines
    assert [line.paper["recall@10"] for line in new] == [0.0605]
    assert {line.name for line in new}.isdisjoint(line.name for line in every)
