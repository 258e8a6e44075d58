"""`python -m experiments prepare` and what comes after it, on files of one's own."""

import json

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.common.sequences import load_data
from experiments.mig_gt import run as mig_gt
from experiments.mig_gt.config import EXPERIMENT
from experiments.tiger.config import EXPERIMENT as TIGER
from mmjax.data.core.checks import DataError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ratings of 24 people and 20 films with titles, as a person has them."""
    folder = tmp_path_factory.mktemp("own")
    draw = np.random.default_rng(0)
    rows = [(u, i, 10 * n) for u in range(24) for n, i in enumerate(draw.permutation(20)[:8])]
    lines = "".join(f"user {u},tt{i:02d},{t}\n" for u, i, t in rows)
    (folder / "seen.csv").write_text("user,movieId,timestamp\n" + lines)
    titles = "".join(f"tt{i:02d},The {i}. film,Plot {i}\n" for i in range(20))
    (folder / "films.csv").write_text("movieId,title,plot\n" + titles)
    vectors = draw.normal(size=(20, 6)).astype(np.float32)
    np.save(folder / "plots.npy", vectors)
    words = ["--items", folder / "films.csv", "--features", f"text={folder / 'plots.npy'}"]
    assert run("prepare", folder / "seen.csv", "--out", folder / "mine", *words) == 0
    return folder


def run(*words):
    return main([*map(str, words)])


def test_from_a_raw_file_to_titles(files, capsys):
    workdir = str(files / "run")
    flags = ["--data", str(files / "mine"), "--method", "bpr_mf", "--workdir", workdir]
    quick = ["--fit.epochs", "2", "--fit.quiet", "--model.width", "8"]
    assert EXPERIMENT.main([*flags, *quick], lambda: mig_gt) == 0
    answers = ["recommend", "--workdir", workdir, "--users", "user 3", "--k", "2"]
    assert EXPERIMENT.main(answers, lambda: mig_gt) == 0
    said = capsys.readouterr().out
    assert "user user 3" in said and said.count(". film") == 2


def test_what_it_says(files, capsys, tmp_path):
    assert run("prepare", files / "seen.csv", "--out", tmp_path / "o", "--k-core", "0") == 0
    said = capsys.readouterr().out
    assert "read 192 rows" in said and "time = timestamp" in said
    assert f"python -m experiments.bench --data {tmp_path / 'o'}" in said
    assert json.loads((tmp_path / "o/dataset.json").read_text())["kind"] == "interactions"


def test_sequence_commands_take_the_folder(files):
    settings = TIGER.parse(["--method", "sasrec", "--data", str(files / "mine")])
    data = load_data(settings)
    assert (data.split, data.n_users, data.titles[0][:4]) == ("leave-one-out", 24, "The ")
    assert data.lengths.min() >= 5


def test_a_csv_is_told_a_flag_that_helps(files, tmp_path):
    path = tmp_path / "few.csv"
    path.write_text(
        "user,item,timestamp\n" + "".join(f"u{k // 3},i{k % 7},{k}\n" for k in range(9))
    )
    flags = ["--method", "sasrec", "--data", str(path)]
    with pytest.raises(DataError, match="--k-core") as error:
        load_data(TIGER.parse(flags))
    assert "such as 0" in str(error.value)
    assert load_data(TIGER.parse([*flags, "--k-core", "0"])).n_users == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prepare", "nowhere.csv", "--out", "o"], "nowhere.csv"),
        (["prepare", "seen.csv", "--out", "mine"], "not empty"),
        (["prepare", "seen.csv", "--out", "/proc/nope/o"], "cannot write /proc/nope/o"),
        (["prepare", "seen.csv", "--out", "o", "--encode", "text=nowhere"], "--items"),
        (["prepare", "seen.csv", "--out", "o", "--features", "x"], "give modality=folder"),
        (["prepair"], "did you mean prepare"),
    ],
)
def test_faults_have_one_line_and_status_two(files, monkeypatch, capsys, words, says):
    monkeypatch.chdir(files)
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (files / "o").exists()
