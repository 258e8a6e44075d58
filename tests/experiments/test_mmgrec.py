"""MMGRec's command: all stages in one folder, resumed, and what is recommended from it."""

import dataclasses
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from experiments.common.interactions import load_data
from experiments.mmgrec.__main__ import main
from experiments.mmgrec.analysis import feature_vectors
from experiments.mmgrec.config import DATA, EXPERIMENT, preset
from experiments.mmgrec.run import load_generator
from mmjax.data.synthetic.interactions import topics
from mmjax.semantic_ids.table import SidTable
from mmjax.training.records import load_record
from mmjax.training.run_config import override
from mmjax.training.stages import load_stage

FLAGS = [
    "--data",
    "topics",
    "--smoke",
    *(f"--{stage}.fit.{what}" for stage in ("graph", "quantiser", "generator")
      for what in ("quiet", "no-tensorboard")),
    *(x for stage in ("graph", "quantiser", "generator") for x in (f"--{stage}.fit.devices", "1")),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a smoke run."""
    folder = tmp_path_factory.mktemp("mmgrec")
    assert main([*FLAGS, "--workdir", str(folder)]) == 0
    return folder


def test_a_run_leaves_its_figures_its_ids_and_a_page(finished):
    record = load_record(finished / "record.json")
    assert record.seeds == [0] and record.method == "mmgrec"
    for name in ("recall@10", "beam20/ndcg@20", "official/recall@10", "graph/recall@20"):
        assert len(record.test[name]) == 1 and 0 <= record.test[name][0] <= 1
    assert record.test["recall@20"] == record.test["beam20/recall@20"]
    assert 0 <= record.test["official/invalid"][0] <= 1
    assert record.valid["ids/popularity_tokens"][0] >= 1
    table = load_stage(finished / "seed_0", "ids", (SidTable,))
    assert len(np.unique(table.codes, axis=0)) == len(table.codes) == 300
    assert table.policy == "append_popularity" and table.sizes[:2] == (8, 8)
    assert "MMGRec" in (finished / "report.html").read_text()


def test_popular_items_get_the_first_tokens_of_their_codes(finished):
    """By training pairs alone."""
    codes = load_stage(finished / "seed_0", "ids", (SidTable,)).codes
    count = np.bincount(topics().train[:, 1], minlength=300)
    for prefix in np.unique(codes[:, :-1], axis=0):
        group = np.flatnonzero((codes[:, :-1] == prefix).all(1))
        by_token = group[np.argsort(codes[group, -1])]
        assert_array_equal(np.sort(codes[group, -1]), np.arange(len(group)))
        assert (np.diff(count[by_token]) <= 0).all()


def test_the_same_command_again_trains_nothing(finished, capsys):
    names = ("graph", "rq_vae", "generator")
    logs = {n: (finished / "seed_0" / n / "metrics.jsonl").read_text() for n in names}
    before = load_record(finished / "record.json")
    assert main([*FLAGS, "--workdir", str(finished)]) == 0
    after = load_record(finished / "record.json")
    assert (after.valid, after.test) == (before.valid, before.test)
    for name, text in logs.items():
        assert (finished / "seed_0" / name / "metrics.jsonl").read_text() == text


def test_another_run_in_the_folder_is_refused(finished, capsys):
    assert main([*FLAGS, "--workdir", str(finished), "--generator.optim.learning-rate", "1"]) == 2
    assert "another configuration" in capsys.readouterr().err


def test_recommendations_are_new_items_by_name(finished, tmp_path, capsys):
    out = tmp_path / "top.jsonl"
    command = ["recommend", "--workdir", str(finished), "--k", "7", "--users", "3", "5"]
    assert main([*command, "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    seen = set(map(tuple, topics().train.tolist()))
    for user in (3, 5):
        mine = [row for row in rows if row["user"] == str(user)]
        assert [row["rank"] for row in mine] == list(range(1, 8))
        items = [int(row["item"]) for row in mine]
        assert len(set(items)) == 7 and not {(user, i) for i in items} & seen
        assert (np.diff([row["score"] for row in mine]) <= 0).all()
        assert all("of topic" in row["title"] for row in mine)
    assert main(["recommend", "--workdir", str(tmp_path)]) == 2
    assert "train there first" in capsys.readouterr().err


def test_a_trained_generator_is_read_back(finished):
    trained = load_generator(finished / "seed_0")
    assert trained.inputs.codes.shape == (300, 3) == trained.table.codes.shape
    assert trained.model.vocabulary.sizes == trained.table.sizes


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", ["tuned", "paper"])
def test_presets(data, kind):
    config = EXPERIMENT.parse(["--data", data, "--preset", kind])
    assert config == preset(data, kind)
    assert config.generator.optim.source_excludes_target == (kind == "tuned")
    assert config.generator.model.shared_vocab == (kind == "paper")


def test_vectors_of_features_alone():
    data = topics()
    x = np.concatenate([data.features["image"], data.features["text"]], 1)
    vectors = feature_vectors(x, data, 5)
    assert_allclose(np.square(vectors.items).mean(), 1, rtol=1e-5)
    gram = vectors.items.T @ vectors.items
    assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-2)
    assert (np.diff(np.diag(gram)) <= 0).all()
    mine = vectors.items[data.train[data.train[:, 0] == 7, 1]]
    assert_allclose(vectors.users[7], mine.mean(0), rtol=1e-4, atol=1e-6)
    assert feature_vectors(x[:, :3], data, 5).items.shape == (300, 5)


def test_the_data_set_is_found():
    config = dataclasses.replace(preset("topics"), smoke=True)
    assert load_data(config.recommender()).digest == topics().digest
    assert override(config, {"generator.optim.warmup_steps": 3}).generator.optim.warmup_steps == 3


@pytest.mark.slow
def test_forms_of_the_ablation_share_the_stages_that_agree(tmp_path, capsys):
    """The graph of the joint form is trained with the quantiser, the others share theirs."""
    command = ["ablate", "--workdir", str(tmp_path), "--data", "topics", "--smoke", "--seeds", "1"]
    assert main([*command, "--forms", "full", "random_ids", "joint"]) == 0
    stages = tmp_path / "topics" / "stages" / "seed_0"
    found = {n: len([*stages.glob(f"{n}-*")]) for n in ("graph", "rq_vae", "ids", "generator")}
    assert found == {"graph": 2, "rq_vae": 1, "ids": 3, "generator": 3}
    assert "graph and quantiser at once" in capsys.readouterr().out
