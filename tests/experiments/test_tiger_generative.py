"""TIGER by command: ids, training, resumption, recommendations, what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from experiments.common import sequences
from experiments.tiger.__main__ import main
from experiments.tiger.config import preset
from experiments.tiger.run import FILE, categories, item_ids, with_ids
from mmjax import semantic_ids as sids
from mmjax.data.core.checks import DataError
from mmjax.data.synthetic.interactions import chains
from mmjax.models.generative.tiger.config import SidConfig
from mmjax.training.records import load_record

FLAGS = ["--method", "tiger", "--smoke", "--fit.devices", "1", "--fit.quiet"]
RANDOM = SidConfig(quantiser="random", sizes=(8, 16))


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiger")
    return main([*FLAGS, "--workdir", str(folder)]), folder


def test_command_leaves_ids_record_and_page(smoke_run, capsys):
    status, folder = smoke_run
    assert status == 0
    record = load_record(folder / "record.json")
    assert (record.method, record.data, record.split) == ("tiger", "chains", "leave-one-out")
    assert record.mean("recall@10") > 2 * 10 / 120, "better than chance after four epochs"
    table = sids.SidTable.load(folder / FILE)
    assert len({tuple(code) for code in table.codes}) == len(table.codes) == 120
    assert "TIGER on chains" in (folder / "report.html").read_text()
    assert main([*FLAGS, "--workdir", str(folder)]) == 0
    assert load_record(folder / "record.json").test == record.test
    assert "level 1: uses" in capsys.readouterr().out


def test_recommend_needs_the_ids_of_the_run(smoke_run, tmp_path, capsys):
    _, folder = smoke_run
    out = tmp_path / "top.jsonl"
    users = ["--users", "3", "7", "--k", "5", "--out", str(out)]
    assert main(["recommend", "--workdir", str(folder), *users]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5] * 2
    known = set(chains().of_user(3).tolist())
    assert not known & {int(row["item"]) for row in rows[:5]}
    assert main(["recommend", "--workdir", str(folder), "--k", "21"]) == 2
    assert "model.beams" in capsys.readouterr().err
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    (moved / FILE).unlink()
    assert main(["recommend", "--workdir", str(moved)]) == 2
    assert FILE in capsys.readouterr().err


def test_ids_come_from_the_file_once_made(tmp_path):
    data = chains()
    config = SidConfig(quantiser="residual_kmeans", sizes=(6, 16), max_collisions=1.0)
    first = item_ids(config, data, tmp_path)
    again = item_ids(dataclasses.replace(config, seed=5), data, tmp_path)
    np.testing.assert_array_equal(first.codes, again.codes)
    assert sids.quality(first, categories(data))["level_1/purity"] > 0.8  # a sixth alone: 0.17
    other = dataclasses.replace(data, features={"text": data.features["text"] + 1})
    with pytest.raises(DataError, match="other features"):
        item_ids(config, other, tmp_path)


def test_random_ids_read_no_features():
    data = dataclasses.replace(chains(), features={})
    table = item_ids(RANDOM, data)
    assert table.sizes[:2] == (8, 16)
    assert sids.quality(table, categories(data))["level_1/purity"] < 0.5
    with pytest.raises(ValueError, match="no item feature 'text'"):
        item_ids(dataclasses.replace(RANDOM, quantiser="rq_vae"), data)


def test_collapsed_ids_stop_the_run():
    start = preset("tiger", "chains")
    ids = SidConfig(quantiser="residual_kmeans", sizes=(2, 2))
    config = dataclasses.replace(start, model=dataclasses.replace(start.model, ids=ids))
    with pytest.raises(sids.SidCollapse, match="97% of the items"):
        sequences.run_method(config, make=with_ids)
