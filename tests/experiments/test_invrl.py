"""The stages of InvRL outside the model: grouped batches, masked data, one run of all of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from experiments.bench.config import SMOKE
from experiments.common import invrl as driver
from experiments.common.comparison import runner_of
from experiments.common.config import PairOptim, Run
from experiments.common.experiment import smoke
from experiments.common.interactions import build, run_method
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.synthetic.interactions import communities
from mmjax.models.common.task import Task
from mmjax.models.multimodal import invrl
from mmjax.models.multimodal.invrl.objective import InvRLConfig
from mmjax.retriever import index_of
from mmjax.training import pipeline
from mmjax.training.config import FitConfig
from mmjax.training.signals import Interrupted
from mmjax.training.sources.grouped import grouped_source
from tests.starts import started

PAIRS = np.array([[u, i] for u in range(5) for i in range(6) if (u + i) % 3], np.int32)
GROUP = np.array([0] * 9 + [2] * 3 + [3] * 8, np.int32)


def _epoch(again):
    unseen = negative_index(PAIRS, 5, 6)
    source = grouped_source(PAIRS, GROUP, 4, 4, unseen, negatives=2, again=again)
    plan = source.epoch(jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), source.steps_per_epoch)
    batches = [source.batch(plan, i, k) for i, k in enumerate(keys)]
    return jax.tree.map(lambda *x: np.concatenate(x), *batches), source.steps_per_epoch


def test_every_pair_of_every_group_comes_once():
    rows, steps = _epoch(again=False)
    assert steps == 3
    here = rows["where"]
    assert here.sum() == len(PAIRS) == 20
    rows_here = zip(rows["user"][here], rows["item"][here], rows["environment"][here], strict=True)
    expected = {(u, i, g) for (u, i), g in zip(PAIRS, GROUP, strict=True)}
    assert {tuple(map(int, row)) for row in rows_here} == {tuple(map(int, row)) for row in expected}
    seen = set(map(tuple, PAIRS.tolist()))
    for user, drawn in zip(rows["user"], rows["negatives"], strict=True):
        assert all((int(user), int(j)) not in seen for j in drawn)


def test_small_groups_start_again_and_empty_ones_stay_out():
    rows, _ = _epoch(again=True)
    counts = np.bincount(rows["environment"][rows["where"]], minlength=4)
    # Group 2 has three pairs: all of them in each of the three batches.
    assert_array_equal(counts, [12, 0, 9, 12])
    group = dict(zip(map(tuple, PAIRS.tolist()), GROUP, strict=True))
    for n in np.flatnonzero(rows["where"]):
        assert group[int(rows["user"][n]), int(rows["item"][n])] == rows["environment"][n]


def test_masked_data_are_the_mask_on_the_content():
    data = communities()
    run = Run(model=InvRLConfig(width=4), data="communities", method="invrl")
    mask = np.random.default_rng(0).uniform(size=sum(x.shape[1] for x in data.features.values()))
    mask = mask.astype(np.float32)
    masked = driver.masked(run, data, mask)
    task = Task(data.train, data.n_users, data.n_items, dict(data.features))
    expected = invrl.build(run.model, task, jnp.asarray(mask))
    plain = dataclasses.replace(run, model=dataclasses.replace(run.model, normalise=False))
    found = build(plain, masked)
    params = started(expected.objective, jax.random.key(0))["params"]
    ours, theirs = (index_of(m.retriever, {"params": params}) for m in (found, expected))
    assert_allclose(ours.users, theirs.users, atol=1e-6)
    assert_allclose(ours.items, theirs.items, atol=1e-6)


@pytest.fixture
def small(tmp_path):
    """A run of few epochs in a folder."""
    run = Run(
        model=InvRLConfig(),
        data="communities",
        method="invrl",
        optim=PairOptim(negatives=4),
        fit=FitConfig(metric="recall@20", quiet=True, tensorboard=False, devices=1),
        workdir=tmp_path,
    )
    return smoke(run, SMOKE)


@pytest.mark.slow
def test_all_stages_run_and_are_kept(small, tmp_path, monkeypatch):
    result = driver.run(small)
    assert result.record.seeds == [0] and len(result.variables) == 1
    assert 0 <= result.record.test["recall@20"][0] <= 1
    names = {path.parent.name for path in tmp_path.glob("seed_0/*/stage.json")}
    assert names == {"pretrained", "environments_0_0", "mask_0", "final"}
    real, trained = pipeline.fit, []

    def watched(*args, **kwargs):
        found = real(*args, **kwargs)
        trained.append(len(found.history) and found.temporary_bytes)
        return found

    # Again, nothing is compiled: every stage is read.
    monkeypatch.setattr(pipeline, "fit", watched)
    again = driver.run(small)
    assert again.record.test == result.record.test and trained == [0] * 4
    assert again.record.config == result.record.config


@pytest.mark.slow
def test_a_run_goes_on_at_the_stage_where_it_stopped(small, tmp_path, monkeypatch):
    calls, real = [], pipeline.fit

    def stopped(*args, **kwargs):
        calls.append(kwargs["workdir"].name)
        found = real(*args, **kwargs)
        if calls[-1] == "mask_0" and len(calls) == 3:
            return dataclasses.replace(found, stopped_because="signal")
        return found

    monkeypatch.setattr(pipeline, "fit", stopped)
    with pytest.raises(Interrupted):
        driver.run(small)
    assert not (tmp_path / "seed_0" / "final").exists()
    result = driver.run(small)
    assert calls[3:] == ["pretrained", "environments_0_0", "mask_0", "final"]
    monkeypatch.undo()
    apart = driver.run(dataclasses.replace(small, workdir=None))
    assert apart.record.test == result.record.test


def test_every_command_trains_all_of_its_stages():
    assert runner_of("invrl") is driver.run
    assert runner_of("vbpr") is run_method
