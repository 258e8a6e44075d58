"""The AVG experiment: its flags, and the whole path once."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.avg import tables
from experiments.avg.cli import main, parse_run
from experiments.avg.config import shrink
from experiments.avg.features import Features
from experiments.avg.presets import DATA, preset
from experiments.avg.problem import borrowed, load_problem
from mmjax.encoders.image.encoder import load_image_encoder
from tests.encoders.sentences import clip_folder


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


def test_features_of_a_published_clip(tmp_path):
    folder = clip_folder(tmp_path)
    run = dataclasses.replace(preset("noto_emoji"), clip=folder, smoke=True)
    problem = load_problem(run)
    data, given = problem.data, problem.given
    assert given is not None and given.query is not None and problem.pixels is None
    assert given.images.shape == (len(data.image_ids), 5)
    assert_allclose((given.images**2).mean(1), 1, rtol=1e-5)
    assert_allclose(given.query(list(data.text[:3])), given.texts[:3], atol=1e-5)
    pair = load_image_encoder(folder, pooling="own", normalise=True)
    (want,) = pair.encode([data.picture(7)], progress=False)
    assert_allclose(given.images[7], 5**0.5 * want, atol=1e-5)


def test_images_that_no_text_is_about_borrow_the_nearest_captions():
    rng = np.random.default_rng(0)
    full = load_problem(dataclasses.replace(preset("noto_emoji"), smoke=True))
    n, t = len(full.data.image_ids), len(full.data.text)
    unmet = np.array([0, 5])
    kept = full.trained[~np.isin(full.trained_image, unmet)]
    problem = dataclasses.replace(full, trained=kept, trained_image=full.data.image[kept])
    found = Features(rng.normal(size=(n, 4)), rng.normal(size=(t, 4)), None)
    assert borrowed(problem, found, 0) is problem
    assert borrowed(full, found, 3) is full
    more = borrowed(problem, found, 3)
    np.testing.assert_array_equal(more.trained[: len(kept)], kept)
    np.testing.assert_array_equal(more.trained_image[len(kept) :], np.repeat(unmet, 3))
    scores = found.images @ found.texts.T
    for image, rows in zip(unmet, more.trained[len(kept) :].reshape(2, 3), strict=True):
        assert set(rows) <= set(kept) and len(set(rows)) == 3
        rest = np.setdiff1d(kept, rows)
        assert scores[image, rows].min() >= scores[image, rest].max()
    assert len(borrowed(problem, found, t).trained) == len(kept) * 3  # there are no more to give
    with pytest.raises(ValueError, match="--borrowed -1"):
        load_problem(dataclasses.replace(preset("noto_emoji"), borrowed=-1))


def test_concepts_bring_their_features():
    run = dataclasses.replace(preset("concepts"), smoke=True)
    given = load_problem(run).given
    assert given is not None and given.query is None
    with pytest.raises(ValueError, match="--clip"):
        load_problem(dataclasses.replace(run, clip=Path("anywhere")))


@pytest.mark.parametrize(
    ("stem", "want"),
    [
        ("two_tower", "two towers"),
        ("avg_ranking-random", "AVG, both stages, random vokens"),
    ],
)
def test_titles_of_rows(stem, want):
    assert tables.title(stem) == want
    with pytest.raises(ValueError, match="METHOD-VARIANT"):
        tables.title(f"{stem}-odd")


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
