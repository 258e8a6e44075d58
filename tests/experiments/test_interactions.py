"""From flags to the parts of a run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from experiments.common.baselines import baseline
from experiments.common.config import SMOKE, PairOptim, Run
from experiments.common.interactions import build_source, task_of
from experiments.mig_gt.config import EXPERIMENT, preset
from mmjax.data.synthetic.interactions import communities
from mmjax.models.collaborative.config import BPRMFConfig
from mmjax.training.optim import optimiser


@pytest.fixture(scope="module")
def data():
    return communities().filter_cold_users()


def _run(**optim):
    optim = PairOptim(**optim)
    return Run(model=BPRMFConfig(), data="communities", method="bpr_mf", optim=optim)


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
    ours = optimiser(PairOptim(learning_rate=0.01, weight_decay=0.5), 1)
    update, _ = ours.update(grads, ours.init(params), params)
    adam = optax.adam(0.01)
    joined = {"w": grads["w"] + 0.5 * params["w"]}
    expected, _ = adam.update(joined, adam.init(params), params)
    assert_allclose(update["w"], expected["w"], rtol=1e-6)


def test_runs_on_the_same_data_share_their_task(data):
    assert task_of(data, "float32") is task_of(data, "float32")
    half = task_of(data, "bfloat16")
    assert all(x.dtype == jnp.bfloat16 for x in half.features.values())


def test_a_baseline_keeps_its_length_and_takes_the_protocol(tmp_path):
    flags = ["--exclude", "train+held_out", "--seeds", "3", "--workdir", str(tmp_path)]
    run = EXPERIMENT.parse(flags)
    own = baseline(run, "light_gcn", preset, SMOKE)
    tuned = preset("light_gcn", "lastfm_2k")
    assert (own.model, own.optim, own.fit) == (tuned.model, tuned.optim, tuned.fit)
    assert (own.exclude, own.seeds) == ("train+held_out", 3)
    assert own.workdir == tmp_path / "baselines" / "light_gcn"


def test_a_baseline_takes_the_flags_of_the_training_that_are_given():
    run = EXPERIMENT.parse(["--fit.epochs", "7", "--fit.devices", "1", "--fit.quiet"])
    own, tuned = baseline(run, "bpr_mf", preset, SMOKE), preset("bpr_mf", "lastfm_2k")
    given = {"epochs": 7, "devices": 1, "quiet": True}
    assert own.fit == dataclasses.replace(tuned.fit, **given)
    # The published length of MIG-GT differs from its tuned one, and is no flag.
    paper = EXPERIMENT.parse(["--preset", "paper"])
    assert baseline(paper, "mgdcf", preset, SMOKE).fit == preset("mgdcf", "lastfm_2k", "paper").fit


def test_a_baseline_of_a_smoke_run_is_small_and_takes_flags_too():
    run = EXPERIMENT.parse(["--smoke", "--fit.epochs", "2"])
    own = baseline(run, "light_gcn", preset, SMOKE)
    assert (own.model.width, own.fit.epochs, own.fit.eval_every) == (8, 2, 2)
    plain = baseline(EXPERIMENT.parse(["--smoke"]), "light_gcn", preset, SMOKE)
    assert (plain.fit.epochs, plain.fit.eval_every, plain.smoke) == (4, 2, True)
