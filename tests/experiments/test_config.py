"""Flags, presets and sweeps, without any training."""

import dataclasses

import pytest

from experiments.common import baselines
from experiments.common.config import PairOptim, fixed_fields, parse_assignment
from experiments.common.sweep import Sweep, assignments
from experiments.mig_gt.config import DATA, EXPERIMENT, preset
from mmjax.errors import UserError
from mmjax.training.run_config import override


def test_paper_presets_are_the_authors():
    baby, sports, clothing = (
        preset("mig_gt", f"amazon_{n}") for n in ("baby", "sports", "clothing")
    )
    hops = [(p.model.id_hops, *p.model.hops) for p in (baby, sports, clothing)]
    assert hops == [(4, 2, 1), (4, 2, 3), (2, 2, 0)]
    assert [p.optim.learning_rate for p in (baby, sports, clothing)] == [1e-2, 1e-2, 1e-3]
    assert [p.optim.floor for p in (baby, sports, clothing)] == [0.0, 1e-3, 1e-4]
    assert [p.model.l2 for p in (baby, sports, clothing)] == [1e-5, 1e-4, 1e-5]
    assert [p.model.samples for p in (baby, sports, clothing)] == [10, 10, 20]
    assert [p.model.hidden for p in (baby, sports, clothing)] == [512, 512, 2048]
    assert {p.optim.batch_size for p in (baby, sports, clothing)} == {8000}


@pytest.mark.parametrize("method", ["mig_gt", *baselines.METHODS])
@pytest.mark.parametrize("data", DATA)
def test_every_preset_exists_and_names_itself(method, data):
    for kind in ("tuned", "paper"):
        run = preset(method, data, kind)
        assert (run.method, run.data, run.preset) == (method, data, kind)
        if method == "mig_gt":
            assert len(run.model.hops) == len(run.model.modalities)


def test_flags_override_the_preset():
    run = EXPERIMENT.parse(
        ["--data", "amazon_sports", "--model.hops", "1", "0", "--optim.learning-rate", "0.5"]
    )
    assert (run.model.hops, run.optim.learning_rate, run.model.l2) == ((1, 0), 0.5, 1e-4)
    assert type(EXPERIMENT.parse(["--method=light_gcn"]).model).__name__ == "LightGCNConfig"


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--method", "svd"], "choose one of light_gcn"), (["--data", "netflix"], "or give a folder")],
)
def test_unknown_names_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        EXPERIMENT.parse(flags)


def test_misspelt_flags_are_refused(capsys):
    with pytest.raises(SystemExit):
        EXPERIMENT.parse(["--model.hopps", "1"])
    assert "hopps" in capsys.readouterr().err


def test_identity_is_what_decides_the_result(tmp_path):
    run = preset("mig_gt", "lastfm_2k")
    same = dataclasses.replace(run, workdir=tmp_path, seeds=3, baselines=("bpr_mf",))
    assert same.identity() == run.identity()
    assert same.digest() != run.digest()
    assert override(run, {"model.l2": 0.5}).identity() != run.identity()


def test_override_names_the_field_that_is_not_there():
    with pytest.raises(ValueError, match="'optim.rate'.*learning_rate"):
        override(preset("bpr_mf", "tiktok"), {"optim.rate": 1.0})


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("model.hops=[2,1],[0,0]", "model.hops", [[2, 1], [0, 0]]),
        ("optim.learning_rate=1e-3,1e-2", "optim.learning_rate", [1e-3, 1e-2]),
        ("optim.sampler=unseen,uniform", "optim.sampler", ["unseen", "uniform"]),
        ("model.item_embedding=true,false", "model.item_embedding", [True, False]),
    ],
)
def test_assignments_are_read(text, name, values):
    assert parse_assignment(text) == (name, values)


def test_single_values_and_lists_become_tuples_where_the_field_is_one():
    run = override(preset("mig_gt", "tiktok"), fixed_fields(("model.hops=1,0", "ks=20")))
    assert (run.model.hops, run.ks) == ((1, 0), (20,))
    assert override(run, {"model.hops": [2, 1]}).model.hops == (2, 1)


@pytest.mark.parametrize("text", ["model.hops", "model.hops="])
def test_broken_assignments_are_refused(text):
    with pytest.raises(ValueError, match="field=value"):
        parse_assignment(text)


def test_random_trials_are_distinct_points_of_the_grid(tmp_path):
    grid = ("optim.learning_rate=1,2,3", "model.l2=4,5")
    every = assignments(Sweep(tmp_path, grid))
    assert len(every) == 6
    some = assignments(Sweep(tmp_path, grid, trials=4, seed=1))
    assert len(some) == len({tuple(p.items()) for p in some}) == 4
    assert all(p in every for p in some)
    assert some == assignments(Sweep(tmp_path, grid, trials=4, seed=1))


def test_a_field_given_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="twice"):
        assignments(Sweep(tmp_path, ("model.l2=1", "model.l2=2")))


def test_learning_rate_decays_while_it_stays_above_the_floor():
    import jax.numpy as jnp

    from mmjax.training.optim import optimiser

    def rates(floor, steps):
        optim = PairOptim(learning_rate=1.0, decay=0.5, floor=floor)
        tx = optimiser(optim, 2)
        params = jnp.zeros(1)
        state, seen = tx.init(params), []
        for _ in range(steps):
            update, state = tx.update(jnp.ones(1), state, params)
            seen.append(round(-float(update[0]), 4))
        return seen

    assert rates(0.2, 8) == [
        1.0,
        1.0,
        0.5,
        0.5,
        0.25,
        0.25,
        0.25,
        0.25,
    ]
    assert rates(0.0, 8)[-1] == 0.125
