"""The MIG-GT epoch benchmark at tiny sizes."""

import numpy as np

from experiments.benchmarks.mig_gt_epoch import ours
from experiments.benchmarks.mig_gt_epoch.problem import problem


def test_synthetic_edges_are_distinct_and_as_many_as_asked():
    inputs = problem(None, smoke=True)
    assert inputs.pairs.shape == (2000, 2) and inputs.pairs.dtype == np.int32
    assert len(np.unique(inputs.pairs, axis=0)) == 2000
    assert (inputs.pairs.max(axis=0) < (inputs.n_users, inputs.n_items)).all()
    assert {x.shape[0] for x in inputs.features.values()} == {inputs.n_items}


def test_edges_of_a_directory(tmp_path):
    pairs = np.array([[0, 1], [2, 0]])
    np.savez(
        tmp_path / "interactions.npz",
        train_user=pairs[:, 0],
        train_item=pairs[:, 1],
        n_users=3,
        n_items=2,
    )
    inputs = problem(tmp_path)
    np.testing.assert_array_equal(inputs.pairs, pairs)
    assert (inputs.n_users, inputs.n_items) == (3, 2)
    assert inputs.features["image"].shape == (2, 4096)


def test_our_epochs_lower_the_loss():
    trainer = ours.Trainer(problem(None, smoke=True), smoke=True)
    losses = []
    for _ in range(8):
        trainer.epoch()
        losses.append(trainer.loss)
    assert losses[-1] < losses[0]


def test_without_pytorch_ours_is_measured_alone(run_tiny):
    record, text = run_tiny(ours)
    assert record["seconds"].keys() == {"mmjax"} and record["median_ratio_to_mmjax"] == {}
    assert "peak memory: mmjax" in text
