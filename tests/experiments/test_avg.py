"""The AVG experiment: its measures by hand, its flags, and the whole path once."""

import json

import numpy as np
import pytest

from experiments.avg.cli import main, parse_run
from experiments.avg.config import shrink
from experiments.avg.evaluation import collision_rate, vector_recall
from experiments.avg.presets import DATA, preset


def test_recall_of_vectors_by_hand():
    images = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [9.0, 9.0]], np.float32)
    texts = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]], np.float32)
    pool = np.array([0, 1, 2])  # the last image is of another split
    found = vector_recall(texts, images, np.array([0, 2, 1]), pool, (1, 2, 3))
    # Ranks 1 and 2; the third text is as near to 0 as to its own image: 3.
    np.testing.assert_allclose([found[f"recall@{k}"] for k in (1, 2, 3)], [1 / 3, 2 / 3, 1])
    codes = np.array([[0, 0], [0, 0], [1, 0], [0, 0]])
    assert collision_rate(codes, pool) == pytest.approx(1 / 3)


@pytest.mark.parametrize("data", DATA)
def test_presets_are_consistent(data):
    for run in (preset(data), shrink(preset(data))):
        assert run.tokenizer.latent == run.model.width
        assert run.towers.size % run.towers.patch == 0


def test_flags():
    run = parse_run(["--data", "flickr8k", "--fit-model.epochs", "3", "--codes", "random"])
    assert (run.data, run.fit_model.epochs, run.codes) == ("flickr8k", 3, "random")
    assert main(["--data", "imagenet"]) == 2
    assert main(["serach"]) == 2


def test_search_without_a_run_says_so(tmp_path, capsys):
    assert main(["search", "red heart", "--workdir", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.slow
def test_train_and_search(tmp_path, capsys):
    flags = ["--smoke", "--workdir", str(tmp_path), "--fit.quiet"]
    assert main(flags) == 0
    assert "avg_ranking" in capsys.readouterr().out
    record = json.loads((tmp_path / "avg_ranking.json").read_text())
    assert record["test"]["recall@10"][0] <= record["test"]["recall_code@10"][0]
    assert main(["search", "red heart", "--workdir", str(tmp_path), "--k", "4"]) == 0
    assert (tmp_path / "search.html").read_text().count("<img") == 8
    assert main(["search", "qqqq", "--workdir", str(tmp_path)]) == 2


@pytest.mark.slow
def test_cost(tmp_path):
    out = tmp_path / "cost.json"
    flags = ["--sizes", "50", "--width", "8", "--model-width", "8", "--codes", "8"]
    assert main(["cost", *flags, "--rounds", "1", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["name"] for row in rows} == {"scan all vectors", "write vokens"}
    assert all(row["images"] == 50 and row["median_ms"] > 0 for row in rows)
    assert (tmp_path / "cost.png").stat().st_size > 0
