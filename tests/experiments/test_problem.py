"""From flags to the parts of a run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from experiments.common.config import Optim, Run
from experiments.common.problem import build_optimiser, build_source, build_task
from mmjax.data.synthetic.interactions import communities
from mmjax.models.collaborative.config import BPRMFConfig


@pytest.fixture(scope="module")
def data():
    return communities().filter_cold_users()


def _run(**optim):
    return Run(BPRMFConfig(), data="communities", method="bpr_mf", optim=Optim(**optim))


def _epoch(source, key):
    plan = source.epoch(key)
    steps = range(source.steps_per_epoch)
    batches = [source.batch(plan, i, jax.random.fold_in(key, 7 + i)) for i in steps]
    rows = jax.tree.map(lambda *x: jnp.concatenate(x), *batches)
    where = np.asarray(rows["where"])
    return np.asarray(jnp.concatenate([rows["user"][:, None], rows["negatives"]], 1))[where]


@pytest.mark.parametrize(("sampler", "rows"), [("unseen", 1), ("uniform", 1), ("fixed", 3)])
def test_samplers(data, sampler, rows):
    source = build_source(_run(sampler=sampler, negatives=3, batch_size=1000), data)
    drawn = _epoch(source, jax.random.key(0))
    assert drawn.shape == (rows * len(data.train), 2 if sampler == "fixed" else 4)
    seen = {(int(u), int(i)) for u, i in data.train}
    hits = sum((int(row[0]), int(i)) in seen for row in drawn for i in row[1:])
    assert (hits > 0) == (sampler == "uniform")
    again = _epoch(source, jax.random.key(1))
    same = sorted(map(tuple, drawn)) == sorted(map(tuple, again))
    assert same == (sampler == "fixed")


def test_weight_decay_joins_the_gradient_before_the_moments():
    params = {"w": jnp.array([2.0, -1.0])}
    grads = {"w": jnp.array([0.1, 0.3])}
    ours = build_optimiser(Optim(learning_rate=0.01, weight_decay=0.5), 1)
    update, _ = ours.update(grads, ours.init(params), params)
    adam = optax.adam(0.01)
    joined = {"w": grads["w"] + 0.5 * params["w"]}
    expected, _ = adam.update(joined, adam.init(params), params)
    assert_allclose(update["w"], expected["w"], rtol=1e-6)


def test_runs_on_the_same_data_share_their_task(data):
    run = _run()
    assert build_task(run, data) is build_task(dataclasses.replace(run, method="light_gcn"), data)
    half = build_task(dataclasses.replace(run, dtype="bfloat16"), data)
    assert all(x.dtype == jnp.bfloat16 for x in half.features.values())
