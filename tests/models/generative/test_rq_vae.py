"""RQ-VAE: its loss by the definition, its ways of learning, codes and training."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation import encoding
from mmjax.blocks.quantisation.codebook_ema import Averages, follow, followed_codebook
from mmjax.models.generative import rq_vae
from mmjax.models.generative.rq_vae.config import LC_REC, MMGREC, TIGER, RQVAEConfig
from mmjax.models.generative.rq_vae.network import RQVAE, loss_terms
from mmjax.training.config import FitConfig
from mmjax.training.fitting import fit
from mmjax.training.parallel import Devices, make_mesh
from mmjax.training.sources.pairs import rows_source
from mmjax.training.state import init_state
from mmjax.training.step import run_epochs

CONFIG = RQVAEConfig(widths=(8,), latent=4, sizes=(6, 5), revive_below=0.0)
WAYS = {
    "gradient": {},
    "ema": {"learning": "ema", "revive_below": 2.0},
    "simvq": {"learning": "simvq", "init": "uniform"},
    "shared": {"shared": True, "sizes": (6, 6)},
    "shared ema": {"shared": True, "sizes": (6, 6), "learning": "ema"},
    "gumbel": {"estimator": "gumbel"},
    "rotation": {"estimator": "rotation", "output": "levels"},
    "levels": {"fewest_levels": 1},
    "sinkhorn": {"sinkhorn_eps": (0.0, 0.1)},
    "cosine": {"cosine": True},
    "released": {"residual": "raw", "decoder_activation": "sigmoid", "normalise": "unit"},
    "lc-rec": {"residual": "ste_residual", "level_reduction": "mean", "normalise": "standard"},
}


def varied(name):
    return dataclasses.replace(CONFIG, **WAYS[name])


@pytest.fixture(scope="module")
def table():
    """40 rows around 8 centres."""
    draw = np.random.default_rng(0)
    centres = 3 * draw.normal(size=(8, 7))
    x = centres[np.arange(40) % 8] + 0.1 * draw.normal(size=(40, 7))
    return x.astype(np.float32)


@pytest.fixture
def rows():
    """A batch whose last two rows do not count."""
    return {"row": jnp.arange(16) * 2, "where": jnp.arange(16) < 14}


def started(config, table, seed=0):
    """Objective, parameters and collections; its k-means compiles once for all tests."""
    objective = rq_vae.build(config, table)
    variables = dict(objective.init(jax.random.key(seed)))
    return objective, variables.pop("params"), variables


def test_loss_by_the_definition(table, rows):
    objective, params, state = started(CONFIG, table)
    value, aux = objective.loss(params, state, rows, jax.random.key(1))
    x = table[np.asarray(rows["row"])[:14]]

    def mlp(p, h):
        first, second = p["layer_1"], p["layer_2"]
        h = np.maximum(h @ np.asarray(first["kernel"]) + np.asarray(first["bias"]), 0)
        return h @ np.asarray(second["kernel"]) + np.asarray(second["bias"])

    z = mlp(params["encoder"], x)
    rest, q = z, np.zeros_like(z)
    errors = 0.0
    for m in (1, 2):
        book = np.asarray(params[f"codebook_{m}"])
        chosen = book[np.square(rest[:, None] - book[None]).sum(-1).argmin(1)]
        errors = errors + np.square(rest - chosen).mean(1)
        q, rest = q + chosen, rest - chosen
    reconstruction = np.square(mlp(params["decoder"], q) - x).mean(1)
    assert_allclose(aux.metrics["reconstruction"], reconstruction.mean(), rtol=1e-4)
    assert_allclose(aux.metrics["commitment"], errors.mean(), rtol=1e-4)
    assert_allclose(aux.metrics["codebook"], errors.mean(), rtol=1e-4)
    assert_allclose(value, reconstruction.mean() + 1.25 * errors.mean(), rtol=1e-4)


def test_one_reduction_holds_for_reconstruction_and_quantiser(table, rows):
    objective, params, state = started(CONFIG, table)
    summed = dataclasses.replace(CONFIG, reduction="sum", level_reduction="mean")
    mean = objective.loss(params, state, rows, jax.random.key(1))[1].metrics
    other = rq_vae.build(summed, table).loss(params, state, rows, jax.random.key(1))[1].metrics
    assert_allclose(other["reconstruction"], 7 * mean["reconstruction"], rtol=1e-5)
    assert_allclose(other["codebook"], 4 * mean["codebook"] / 2, rtol=1e-5)


@pytest.mark.parametrize("name", WAYS)
def test_gradient_reaches_everything_and_no_row_that_does_not_count(name, table, rows):
    objective, params, state = started(varied(name), table)

    def loss(params, batch):
        value, aux = objective.loss(params, state, batch, jax.random.key(1))
        return value, aux.state

    step = jax.jit(jax.grad(loss, has_aux=True))
    grads, after = step(params, rows)
    for leaf in jax.tree.leaves(grads):
        assert np.isfinite(leaf).all() and np.asarray(leaf).any()
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
    others = {**rows, "row": rows["row"].at[14:].set(1)}
    chex.assert_trees_all_close(step(params, others), (grads, after), rtol=1e-4, atol=1e-6)


def test_codebooks_that_follow_have_no_gradient_but_members(table, rows):
    config = dataclasses.replace(CONFIG, learning="ema", decay=0.9)
    objective, params, state = started(config, table)
    assert set(params) == {"encoder", "decoder"}
    after = objective.loss(params, state, rows, jax.random.key(1))[1].state
    z = RQVAE(config, 7).apply(
        {"params": params, **state}, jnp.asarray(table)[rows["row"][:14]], method="encode"
    )
    codes = encoding.encode(z, [state["codebooks"][f"codebook_{m}"] for m in (1, 2)])
    for m, name in enumerate(("codebook_1", "codebook_2")):
        old = state["codebooks"][name]
        mean = follow(Averages(**state["averages"][name]), z, codes[:, m], decay=0.9)
        chex.assert_trees_all_close(after["averages"][name], mean._asdict(), rtol=1e-5)
        assert_allclose(after["codebooks"][name], followed_codebook(mean, old), rtol=1e-5)
        z = z - old[codes[:, m]]


def test_unused_codes_are_revived(table, rows):
    objective, params, state = started(varied("ema"), table)
    far = jax.tree.map(lambda book: book.at[0].set(100.0), state["codebooks"])
    state["codebooks"] = far
    state["averages"] = {
        name: {"counts": jnp.full(len(c), 3.0).at[0].set(1.0), "sums": 3 * c}
        for name, c in far.items()
    }
    after = objective.loss(params, state, rows, jax.random.key(1))[1].state
    for name, counts in ((n, a["counts"]) for n, a in after["averages"].items()):
        assert counts[0] == 2
        assert jnp.abs(after["codebooks"][name][0]).max() < 50


def test_simvq_moves_all_codes_by_one_map(table, rows):
    objective, params, state = started(varied("simvq"), table)
    assert params["codebook_1_map"].shape == (4, 4)
    after = objective.loss(params, state, rows, jax.random.key(1))[1].state
    chex.assert_trees_all_equal(after, state)
    found = rq_vae.codebooks(varied("simvq"), {"params": params, **state})
    assert_allclose(
        found[0], state["codebooks"]["codebook_1"] @ params["codebook_1_map"], rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:level 2 uses")
@pytest.mark.parametrize("name", ["gradient", "ema", "shared", "cosine", "released", "lc-rec"])
def test_codes_and_back(name, table):
    config = varied(name)
    objective, params, state = started(config, table)
    variables = {"params": params, **state}
    codes = rq_vae.encode(config, variables, table)
    assert codes.shape == (40, 2) and codes.dtype == jnp.int32
    assert ((codes >= 0) & (codes < jnp.array(config.sizes)[None])).all()
    assert_array_equal(codes[5:9], rq_vae.encode(config, variables, table[5:9]))
    decoded = rq_vae.decode(config, variables, codes)
    assert decoded.shape == table.shape
    rows = {"row": jnp.arange(40), "where": jnp.ones(40, bool)}
    aux = objective.loss(params, state, rows, jax.random.key(1))[1]
    numbers = rq_vae.evaluation(config, table)(params, state, jax.random.key(0))
    assert_allclose(numbers["reconstruction/mse"], aux.metrics["reconstruction"], rtol=1e-4)
    if name != "released":
        scale = table.std(0, keepdims=True) if name == "lc-rec" else np.ones((1, 7))
        errors = np.square((np.asarray(decoded) - table) / scale)
        assert_allclose(numbers["reconstruction/mse"], errors.mean(), rtol=1e-3)


def test_first_codebooks_fit_the_latents(table):
    fitted = started(CONFIG, table)
    variables = {"params": fitted[1], **fitted[2]}
    measured = rq_vae.evaluation(CONFIG, table)(*fitted[1:], jax.random.key(0))
    uniform = rq_vae.init_codebooks(CONFIG, variables, table, jax.random.key(2), method="uniform")[
        "params"
    ]
    assert jnp.abs(uniform["codebook_1"]).max() <= 1 / 6
    chex.assert_trees_all_equal(uniform["encoder"], fitted[1]["encoder"])
    with pytest.warns(UserWarning) as said:
        before = rq_vae.evaluation(CONFIG, table)(uniform, {}, jax.random.key(0))
    assert any("of its 5 codes; start from k-means" in str(w.message) for w in said)
    assert measured["level_1/utilisation"] == 1
    assert measured["level_2/residual_energy"] < 0.2 * before["level_2/residual_energy"]


def test_moving_averages_start_with_the_clusters(table):
    _, params, state = started(varied("ema"), table)
    model = RQVAE(varied("ema"), 7)
    z = model.apply({"params": params, **state}, jnp.asarray(table), method="encode")
    books = [state["codebooks"][f"codebook_{m}"] for m in (1, 2)]
    codes = encoding.encode(z, books)
    for m, (name, book) in enumerate(zip(("codebook_1", "codebook_2"), books, strict=True)):
        counts = np.bincount(codes[:, m], minlength=len(book))
        assert_array_equal(state["averages"][name]["counts"], counts)
        assert_allclose(state["averages"][name]["sums"], counts[:, None] * book, rtol=1e-5)


@pytest.mark.multi
@pytest.mark.parametrize("name", ["gradient", "ema", "shared ema", "sinkhorn"])
def test_two_devices_agree_with_one(name, table, rows):
    objective, params, state = started(varied(name), table)

    def step(batch, axis=None):
        def loss(p):
            value, aux = objective.loss(p, state, batch, jax.random.key(3), axis=axis)
            return value, aux.state

        (value, after), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return (value, grads if axis is None else jax.lax.pmean(grads, axis), after)

    shards = {k: x.reshape(2, -1) for k, x in rows.items()}
    mapped = jax.pmap(partial(step, axis="data"), axis_name="data")(shards)
    expected = jax.jit(step)(rows)
    for device in range(2):
        found = jax.tree.map(lambda a, d=device: a[d], mapped)
        chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ema", pytest.param("gradient", marks=pytest.mark.slow)])
def test_training(name, table):
    config = dataclasses.replace(varied(name), decay=0.9)
    objective = rq_vae.build(config, table)
    evaluate = rq_vae.evaluation(config, table)
    settings = FitConfig(
        epochs=30, eval_every=30, metric="reconstruction/mse", maximise=False, quiet=True
    )
    found = fit(objective, rows_source(40, 16), optax.adam(1e-2), evaluate, settings, seeds=(0, 1))
    for seed, variables in enumerate(found.variables):
        _, params, state = started(config, table, seed)
        before = evaluate(params, state, jax.random.key(0))
        state = dict(variables)
        after = evaluate(state.pop("params"), state, jax.random.key(0))
        assert after["reconstruction/mse"] < 0.5 * before["reconstruction/mse"]
        assert after["level_1/utilisation"] > 0.5
        assert np.isclose(after["reconstruction/mse"], found.best_metric[seed], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.multi
@pytest.mark.parametrize("mode", ["jit", "shard_map"])
def test_codebooks_that_follow_are_those_of_one_device(mode, table):
    config = dataclasses.replace(varied("ema"), decay=0.5)
    objective, source, optimiser = rq_vae.build(config, table), rows_source(40, 12), optax.sgd(0.01)

    def run(objective, source, state, **options):
        return run_epochs(objective, optimiser, source, state, 2, **options)

    arguments = (objective, source, init_state(objective, optimiser, jax.random.key(0)))
    expected, _ = jax.jit(run)(*arguments)
    devices = Devices(make_mesh(2), mode)
    found, _ = devices.data_parallel(run)(*devices.replicate(arguments))
    close = partial(assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, found.params, expected.params)
    jax.tree.map(close, found.extra, expected.extra)
    start = arguments[-1].extra["codebooks"]["codebook_1"]
    assert jnp.abs(expected.extra["codebooks"]["codebook_1"] - start).max() > 0.01


def test_learnt_embeddings_get_a_gradient(table, rows):
    _, params, state = started(CONFIG, table)
    x = jnp.asarray(table)[rows["row"]]

    def total(x):
        return loss_terms(CONFIG, params, state, x, jax.random.key(0), where=rows["where"])[0].total

    grads = jax.grad(total)(x)
    assert jnp.abs(grads[:14]).sum(1).min() > 0 and not grads[14:].any()


@pytest.mark.slow
@pytest.mark.parametrize("preset", [TIGER, LC_REC, MMGREC])
def test_presets_take_a_step(preset, rows):
    sizes = tuple(4 for _ in preset.sizes)
    small = dataclasses.replace(preset, sizes=sizes, widths=(6,), init="uniform")
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    objective, params, state = started(small, x)
    value, aux = jax.jit(objective.loss)(params, state, rows, jax.random.key(0))
    assert np.isfinite(value)
    assert aux.metrics.keys() == {"reconstruction", "codebook", "commitment"}
    assert len(TIGER.sizes) == 3 and TIGER.levels == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": ()}, "give one level or more"),
        ({"sizes": (4, 0)}, "give one level or more"),
        ({"shared": True}, "a shared codebook has one size"),
        ({"sinkhorn_eps": (0.1,)}, "a number for each of 2 levels"),
        ({"fewest_levels": 3}, r"fewest_levels 3 must lie in \[0, 2\]"),
        ({"sizes": (64, 8)}, "k-means reads 40 rows, fewer than the 64 codes"),
        ({"init_rows": 5}, "k-means reads 5 rows"),
    ],
)
def test_bad_settings(changes, message, table):
    with pytest.raises(ValueError, match=message):
        rq_vae.build(dataclasses.replace(CONFIG, **changes), table)


def test_bad_tables(table):
    broken = table.copy()
    broken[3, 2] = np.nan
    for bad in (broken, table[:0]):
        with pytest.raises(ValueError, match="give a table of finite numbers"):
            rq_vae.build(CONFIG, bad)
