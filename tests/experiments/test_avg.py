"""The AVG experiment: its flags, and the whole path once."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.avg import analysis
from experiments.avg.__main__ import main
from experiments.avg.config import DATA, EXPERIMENT, Search, preset
from experiments.avg.run import Pairs, _fitted, clip_features, load_problem, make_pairs
from mmjax.encoders.clip_pair import load_clip_pair
from mmjax.encoders.image.encoder import load_image_encoder
from mmjax.models.retrieval.two_tower import ImageTextFeatures
from mmjax.training.pipeline import Pipeline
from mmjax.training.run_config import override
from tests.encoders.sentences import clip_folder


@pytest.mark.parametrize("data", DATA)
def test_presets_are_consistent(data):
    for run in (preset(data), EXPERIMENT.settings(small=True, data=data)):
        assert run.tokenizer.latent == run.model.width
        assert run.towers.size % run.towers.patch == 0


def test_flags():
    run = EXPERIMENT.parse(["--data", "flickr8k", "--fit-model.epochs", "3", "--codes", "random"])
    assert (run.data, run.fit_model.epochs, run.codes) == ("flickr8k", 3, "random")
    assert main(["--data", "imagenet"]) == 2
    assert main(["--preset", "paper"]) == 2
    assert main(["serach"]) == 2


def test_search_without_a_run_says_so(tmp_path, capsys):
    assert main(["search", "red heart", "--workdir", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_features_of_a_published_clip(tmp_path):
    folder = clip_folder(tmp_path)
    problem = load_problem(dataclasses.replace(preset("noto_emoji"), clip=folder, smoke=True))
    data, found = problem.data, clip_features(problem)
    assert problem.given is None and "pixels" not in vars(problem)
    assert found.images.shape == (len(data.image_ids), 5)
    assert_allclose((found.images**2).mean(1), 1, rtol=1e-5)
    some = load_clip_pair(folder).texts.encode(list(data.text[:3]), progress=False)
    assert_allclose(5**0.5 * some, found.texts[:3], atol=1e-5)
    pair = load_image_encoder(folder, pooling="own", normalise=True)
    (want,) = pair.encode([data.picture(7)], progress=False)
    assert_allclose(found.images[7], 5**0.5 * want, atol=1e-5)


def test_images_that_no_text_is_about_take_the_nearest_captions():
    rng = np.random.default_rng(0)
    full = load_problem(dataclasses.replace(preset("noto_emoji"), smoke=True))
    n, t = len(full.data.image_ids), len(full.data.text)
    unmet = np.array([0, 5])
    kept = full.pairs.text[~np.isin(full.pairs.image, unmet)]
    found = ImageTextFeatures(rng.normal(size=(n, 4)), rng.normal(size=(t, 4)))

    def pairs(own: Pairs, k: int) -> Pairs:
        problem = dataclasses.replace(full, run=dataclasses.replace(full.run, pseudo_queries=k))
        vars(problem)["pairs"] = own
        return make_pairs(problem, found, Pipeline())

    own = Pairs(kept, full.data.image[kept])
    np.testing.assert_array_equal(pairs(own, 0), own)
    np.testing.assert_array_equal(pairs(full.pairs, 3), full.pairs)
    more = pairs(own, 3)
    np.testing.assert_array_equal(more.text[: len(kept)], kept)
    np.testing.assert_array_equal(more.image[len(kept) :], np.repeat(unmet, 3))
    scores = found.images @ found.texts.T
    for image, rows in zip(unmet, more.text[len(kept) :].reshape(2, 3), strict=True):
        assert set(rows) <= set(kept) and len(set(rows)) == 3
        rest = np.setdiff1d(kept, rows)
        assert scores[image, rows].min() >= scores[image, rest].max()
    assert len(pairs(own, t).text) == len(kept) * 3  # there are no more to give
    with pytest.raises(ValueError, match="--pseudo-queries -1"):
        load_problem(dataclasses.replace(preset("noto_emoji"), pseudo_queries=-1))


def test_concepts_bring_their_features():
    run = dataclasses.replace(preset("concepts"), smoke=True)
    problem = load_problem(run)
    assert problem.given is not None
    nothing: Any = None
    saved = analysis.SavedRun(run, "", problem.words, problem.given, nothing, {}, None)
    with pytest.raises(ValueError, match="no pictures"):
        analysis.write_page(saved, problem.data, Search("word", Path("anywhere")))
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
    assert analysis.title(stem) == want
    with pytest.raises(ValueError, match="METHOD-VARIANT"):
        analysis.title(f"{stem}-odd")


def test_train_and_search(tmp_path, capsys):
    flags = ["--smoke", "--workdir", str(tmp_path), "--fit.quiet", "--fit.devices", "1"]
    assert main(flags) == 0
    assert "avg_ranking" in capsys.readouterr().out
    record = json.loads((tmp_path / "avg_ranking.json").read_text())
    assert record["test"]["recall@10"][0] <= record["test"]["recall_code@10"][0]
    assert main(["search", "red heart", "--workdir", str(tmp_path), "--k", "4"]) == 0
    assert (tmp_path / "search.html").read_text().count("<img") == 8
    assert main(["search", "qqqq", "--workdir", str(tmp_path)]) == 2
    assert main(["search", "red", "--workdir", str(tmp_path), "--k", "0"]) == 2
    # Sizes that the data cannot fill are told at once; a later stage's flag keeps what is trained.
    assert main([*flags, "--tokenizer.sizes", "512", "512"]) == 2
    kept = {p.parent.name for p in (tmp_path / "seed_0").glob("*/stage.json")}
    assert main([*flags, "--fit-rank.epochs", "2"]) == 0
    now = {p.parent.name for p in (tmp_path / "seed_0").glob("*/stage.json")}
    assert {name.partition("-")[0] for name in now - kept} == {"ranking"}
    assert kept < now
    assert main(["search", "red heart", "--workdir", str(tmp_path), "--k", "4"]) == 0


@pytest.mark.slow
def test_cost(tmp_path):
    out = tmp_path / "cost.json"
    flags = ["--sizes", "50", "--width", "8", "--model-width", "8", "--codes", "8"]
    assert main(["cost", *flags, "--rounds", "1", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["name"] for row in rows} == {"scan all vectors", "write vokens"}
    assert all(row["images"] == 50 and row["median_ms"] > 0 for row in rows)
    assert (tmp_path / "cost.png").stat().st_size > 0


def test_few_pictures_of_ones_own_get_few_codes(tmp_path, capsys):
    few = SimpleNamespace(image_ids=range(120), name="mine")
    run = preset(str(tmp_path))
    fitted = _fitted(run, few)
    assert set(fitted.tokenizer.sizes) == {16} and "(--tokenizer.sizes)" in capsys.readouterr().out
    assert len(fitted.tokenizer.sizes) == len(run.tokenizer.sizes)
    # A flag that is given is obeyed, and many pictures take the preset.
    named = override(run, {"tokenizer.sizes": (64, 64)})
    assert _fitted(named, few) == named
    assert _fitted(run, SimpleNamespace(image_ids=range(10**6), name="mine")) == run
