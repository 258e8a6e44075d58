"""What drives a recommendation, and what steering changes, on a small model without training."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.ad_drl import analysis
from experiments.ad_drl.__main__ import main
from experiments.ad_drl.analysis import as_text, control, explain, explained_rows, preferred, shares
from experiments.ad_drl.config import EXPERIMENT, PAPER, Control, Explain, preset
from experiments.bench import config as bench
from experiments.common.interactions import build, task_of
from mmjax.data.core.catalogue import Attribute
from mmjax.data.synthetic.interactions import preferences
from mmjax.errors import UserError
from mmjax.models.multimodal import ad_drl
from mmjax.models.registry import METHODS


@pytest.fixture(scope="module")
def explained():
    """The first parameters of a small model; user n is called u<n>."""
    data = preferences(0, n_users=12, n_items=40, sizes=(2, 2, 3), per_user=(6, 2, 2)).data
    data = dataclasses.replace(data, user_ids=np.array([f"u{n}" for n in range(12)]))
    run = preset("ad_drl", "preferences")
    model = dataclasses.replace(run.model, attributes=(), factor_width=4, rest=1)
    run = dataclasses.replace(run, model=model)
    params = jax.jit(build(run, data).objective.init)(jax.random.key(0))["params"]
    return analysis.ExplainedRun(run, data, ad_drl.explain(model, task_of(data, run.dtype), params))


@pytest.fixture
def opened(explained, monkeypatch):
    """The commands find `explained` in any folder."""
    monkeypatch.setattr(analysis, "load_explained", lambda *_: explained)
    return explained


def test_rows_tell_the_driver_and_its_parts(explained):
    rows = explained_rows(explained, np.array([3, 7]), 4)
    assert [(r["user"], r["rank"]) for r in rows] == [
        (u, n + 1) for u in ("u3", "u7") for n in range(4)
    ]
    data = explained.data
    for row in rows:
        lifts = {k[5:]: v for k, v in row.items() if k.startswith("lift_")}
        assert list(lifts) == ["colour", "material", "shape", "rest"]
        assert row["driver"] == max(lifts, key=lifts.__getitem__)
        assert sum(v for k, v in row.items() if k.startswith("weight_")) == pytest.approx(
            1, abs=1e-5
        )
        if row["driver"] != "rest":
            labels, classes = data.attributes[row["driver"]]
            assert row["value"] == classes[labels[int(row["item"])]]
            assert row["predicted"] in classes and 1 / 3 <= row["probability"] <= 1
    seen = set(data.train[data.train[:, 0] == 3, 1].tolist())
    assert not seen & {int(r["item"]) for r in rows if r["user"] == "u3"}
    text = as_text(rows)
    assert "user u3" in text and rows[0]["title"] in text and rows[0]["driver"] in text


def test_the_command_prints_or_writes_the_rows(opened, tmp_path):
    text = explain(Explain(tmp_path, users=("u3", "u7")))
    assert text == as_text(explained_rows(opened, np.array([3, 7]), 5))
    out = tmp_path / "why.jsonl"
    assert explain(Explain(tmp_path, users=("u3",), k=2, out=out)) == f"2 rows in {out}"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows == explained_rows(opened, np.array([3]), 2)
    explain(Explain(tmp_path, out=tmp_path / "why.parquet"))
    with pytest.raises(UserError, match="u99"):
        explain(Explain(tmp_path, users=("u99",)))


def test_lifts_add_up_to_what_lifts_the_score(explained):
    rows = explained_rows(explained, np.array([0]), 34)
    lifts = [sum(v for k, v in row.items() if k.startswith("lift_")) for row in rows]
    # The mean over all items is the same for each of them.
    gap = np.array([row["score"] for row in rows]) - lifts
    np.testing.assert_allclose(gap, gap[0], atol=1e-5)


def test_the_preferred_value_is_the_one_above_its_share(explained):
    data = dataclasses.replace(
        explained.data,
        n_users=3,
        n_items=4,
        train=np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]], np.int32),
    )
    attribute = Attribute(np.array([0, 0, 1, 1], np.int32), ("common", "rare"))
    # Training is 4/5 common; user 0 has 2/3, user 1 all, user 2 nothing.
    assert preferred(data, attribute).tolist() == [1, 0, -1]


def test_turning_a_factor_changes_the_share(explained):
    rows = shares(explained, "colour", (0.0, 1.0, 1e6), k=5)
    assert [row["weight"] for row in rows] == [0.0, 1.0, 1e6]
    assert all(0 <= row[m] <= 1 for row in rows for m in ("share", "recall@20"))
    assert len({row["share"] for row in rows}) > 1
    with pytest.raises(UserError, match="'brand' has no factor; this run has colour"):
        shares(explained, "brand", (1.0,), k=5)


def test_a_factor_that_knows_the_values_gives_the_user_what_is_liked(explained):
    data = explained.data
    labels = data.attributes["colour"].labels
    liked = preferred(data, data.attributes["colour"])
    sign = np.array([1.0, -1.0], np.float32)
    users = np.array(explained.explanation.users)
    fused = np.array(explained.explanation.items.fused)
    users[:, 0], fused[:, 0] = 0, 0
    users[:, 0, 0], fused[:, 0, 0] = sign[liked], sign[labels]
    items = explained.explanation.items._replace(fused=jax.numpy.asarray(fused))
    explanation = explained.explanation._replace(users=jax.numpy.asarray(users), items=items)
    rows = shares(explained._replace(explanation=explanation), "colour", (0.0, 1.0, 100.0), k=5)
    assert rows[0]["share"] < 0.9 and rows[0]["share"] < rows[1]["share"] <= rows[2]["share"] == 1


def test_the_picture_and_its_numbers(opened, tmp_path):
    path = control(Control(tmp_path, attributes=("shape",), weights=(0.0, 2.0), k=5))
    assert path == tmp_path / "control.png" and path.stat().st_size > 1000
    lines = path.with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "run,metric,weight,mean,std,runs" and len(lines) == 1 + 2 * 2


def test_presets():
    run = EXPERIMENT.parse([])
    assert run.model.attributes == ("genre", "decade", "popularity", "certificate")
    run = EXPERIMENT.parse(["--preset", "paper", "--model.values", "0"])
    assert (run.optim.learning_rate, run.optim.negatives, run.model.values) == (1e-4, 8, 0.0)
    assert run.model.rest + len(run.model.attributes) == 5 and run.model.factor_width == 32
    films = preset("ad_drl", "ml_small_mm")
    toys = {n: getattr(films.model, n) for n in PAPER["toys_games"]}
    assert toys == PAPER["toys_games"]
    assert METHODS["ad_drl"].config_class() is type(run.model)
    assert bench.preset("ad_drl", "ml_small_mm") == films
    other = EXPERIMENT.parse(["--data", "lastfm_2k"]).model
    assert (other.attributes, other.rest) == ((), 4)
    assert EXPERIMENT.parse(["--method", "bpr_mf"]) == preset("bpr_mf", "ml_small_mm")


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["teach"], "no command 'teach'"), (["explain", "--workdir", "nowhere"], "no checkpoint")],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(flags, message, capsys):
    assert main(flags) == 2
    assert message in capsys.readouterr().err


def test_another_method_is_refused(monkeypatch, explained, tmp_path):
    other = dataclasses.replace(explained.run, method="bpr_mf")
    monkeypatch.setattr(analysis, "load_trained", lambda *_: (other, explained.data, {}))
    with pytest.raises(UserError, match="holds a run of bpr_mf; give one of ad_drl"):
        analysis.load_explained(tmp_path, None, None)
    assert as_text([]) == ""
