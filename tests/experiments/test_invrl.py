"""The stages of InvRL outside the model: grouped batches, masked data, one run of all of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from experiments.bench import invrl as driver
from experiments.common.config import Optim, Run
from experiments.common.grouped import grouped_source
from experiments.common.problem import build_model
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.synthetic.interactions import communities
from mmjax.models.common.task import Task
from mmjax.models.multimodal import invrl
from mmjax.models.multimodal.invrl.objective import InvRLConfig
from mmjax.retriever import index_of
from mmjax.training.config import FitConfig

PAIRS = np.array([[u, i] for u in range(5) for i in range(6) if (u + i) % 3], np.int32)
GROUP = np.array([0] * 9 + [2] * 3 + [3] * 8, np.int32)


def _epoch(again):
    unseen = negative_index(PAIRS, 5, 6)
    source = grouped_source(PAIRS, GROUP, 4, 4, unseen, negatives=2, again=again)
    plan = source.epoch(jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), source.steps_per_epoch)
    batches = [source.batch(plan, i, k) for i, k in enumerate(keys)]
    return jax.tree.map(lambda *x: np.concatenate(x), *batches), source.steps_per_epoch


def test_every_pair_of_every_group_is_met_once():
    rows, steps = _epoch(again=False)
    assert steps == 3
    here = rows["where"]
    assert here.sum() == len(PAIRS) == 20
    met = zip(rows["user"][here], rows["item"][here], rows["environment"][here], strict=True)
    expected = {(u, i, g) for (u, i), g in zip(PAIRS, GROUP, strict=True)}
    assert {tuple(map(int, row)) for row in met} == {tuple(map(int, row)) for row in expected}
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
    run = Run(InvRLConfig(width=4), data="communities", method="invrl")
    mask = np.random.default_rng(0).uniform(size=sum(x.shape[1] for x in data.features.values()))
    mask = mask.astype(np.float32)
    masked = driver.masked(run, data, mask)
    task = Task(data.train, data.n_users, data.n_items, dict(data.features))
    expected = invrl.build(run.model, task, jnp.asarray(mask))
    plain = dataclasses.replace(run, model=dataclasses.replace(run.model, normalise=False))
    found = build_model(plain, masked)
    params = expected.objective.init(jax.random.key(0))["params"]
    ours, theirs = (index_of(m.retriever, {"params": params}) for m in (found, expected))
    assert_allclose(ours.users, theirs.users, atol=1e-6)
    assert_allclose(ours.items, theirs.items, atol=1e-6)


@pytest.mark.slow
def test_all_stages_run_and_are_kept(tmp_path):
    run = Run(
        InvRLConfig(),
        data="communities",
        method="invrl",
        optim=Optim(negatives=4),
        fit=FitConfig(quiet=True, tensorboard=False, devices=1),
        smoke=True,
        workdir=tmp_path,
    )
    outcome = driver.run(run)
    assert outcome.record.seeds == [0] and len(outcome.variables) == 1
    assert 0 <= outcome.record.test["recall@20"][0] <= 1
    (path,) = tmp_path.glob("invrl_0/mask_*.npy")
    mask = np.load(path)
    assert ((mask >= 0) & (mask <= 1)).all() and (mask != 0.5).any()
    assert driver.run(run).record.test == outcome.record.test
