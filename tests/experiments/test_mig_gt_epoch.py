"""The MIG-GT epoch benchmark at tiny sizes."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from experiments.benchmarks import mig_gt_epoch


def test_synthetic_edges_are_distinct_and_as_many_as_asked():
    given = mig_gt_epoch.problem(None, smoke=True)
    assert given.pairs.shape == (2000, 2) and given.pairs.dtype == np.int32
    assert len(np.unique(given.pairs, axis=0)) == 2000
    assert (given.pairs.max(axis=0) < (given.n_users, given.n_items)).all()
    assert {x.shape[0] for x in given.features.values()} == {given.n_items}


def test_edges_of_a_directory(tmp_path):
    pairs = np.array([[0, 1], [2, 0]])
    np.savez(
        tmp_path / "interactions.npz",
        train_user=pairs[:, 0],
        train_item=pairs[:, 1],
        n_users=3,
        n_items=2,
    )
    given = mig_gt_epoch.problem(tmp_path)
    np.testing.assert_array_equal(given.pairs, pairs)
    assert (given.n_users, given.n_items) == (3, 2)
    assert given.features["image"].shape == (2, 4096)


def test_our_epochs_lower_the_loss():
    ours = mig_gt_epoch.Ours(mig_gt_epoch.problem(None, smoke=True), smoke=True)
    losses = []
    for _ in range(8):
        ours.epoch()
        losses.append(ours.loss)
    assert losses[-1] < losses[0]


def test_without_pytorch_ours_is_measured_alone(tmp_path, monkeypatch, capsys):
    out = tmp_path / "epoch.json"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        sys, "argv", ["mig_gt_epoch", "--smoke", "--rounds", "1", "--out", str(out)]
    )
    mig_gt_epoch.main()
    written = json.loads(out.read_text())
    assert written["seconds"].keys() == {"mmjax"} and written["median_ratio_to_mmjax"] == {}
    assert "peak memory: mmjax" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_the_whole_benchmark_writes_its_json(tmp_path, monkeypatch, capsys):
    out = tmp_path / "epoch.json"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    flags = ["--smoke", "--rounds", "2", "--peers", "csr", "transposed", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["mig_gt_epoch", *flags])
    mig_gt_epoch.main()
    written = json.loads(out.read_text())
    assert {len(s) for s in written["seconds"].values()} == {2}
    assert written["median_ratio_to_mmjax"].keys() == {"torch csr", "torch transposed"}
    assert "times as fast as torch csr" in capsys.readouterr().out
