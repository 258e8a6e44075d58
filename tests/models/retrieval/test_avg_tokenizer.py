"""AVG's tokenizer: hand-worked codes, its gradients, its losses by definition, its evaluation."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.quantisation.quantize import commitment_loss, quantise
from mmjax.models.retrieval import avg_tokenizer
from mmjax.models.retrieval.avg.config import AVGTokenizerConfig
from mmjax.models.retrieval.avg_tokenizer.network import alignment, difference
from mmjax.models.retrieval.avg_tokenizer.objective import Captions
from mmjax.training.sources.pairs import rows_source
from mmjax.training.state import init_state
from mmjax.training.step import run_epochs

CONFIG = AVGTokenizerConfig(widths=(8,), latent=6, sizes=(5,) * 3, dropout=0.2)
PLAIN = dataclasses.replace(CONFIG, dropout=0.0)


@pytest.fixture(scope="module")
def world():
    """30 images, two captions each."""
    draw = np.random.default_rng(0)
    images = draw.normal(size=(30, 7)).astype(np.float32)
    image = np.repeat(np.arange(30), 2)
    captions = images[image] + 0.3 * draw.normal(size=(60, 7)) + 0.5
    return images, Captions(image, captions.astype(np.float32))


@pytest.fixture
def rows():
    """A batch whose last two rows do not count."""
    return {"row": jnp.arange(12) * 5, "where": jnp.arange(12) < 10}


def started(config, world):
    objective = avg_tokenizer.build(config, *world)
    variables = dict(jax.jit(objective.init)(jax.random.key(0)))
    return objective, variables.pop("params"), variables


def test_worked_example():
    book = jnp.asarray([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    found = quantise(jnp.asarray([[4.7, 5.2]]), [book] * 4, residual="ste_residual")
    assert_array_equal(found.codes, [[2, 1, 3, 0]])
    assert_allclose(
        found.inputs[:, 0], [[4.7, 5.2], [4.7, 1.2], [0.7, 1.2], [-0.3, 0.2]], atol=1e-5
    )
    assert_allclose(found.inputs[3, 0] - found.vectors[3, 0], [-0.3, 0.2], atol=1e-5)


def test_which_commitments_reach_the_encoder():
    book = jnp.asarray([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    z = jnp.asarray([4.7, 5.2])

    def read(z, residual):
        return quantise(z[None], [book] * 4, residual=residual)

    jacobian = jax.jacobian(lambda z: read(z, "ste_residual").output[0])(z)
    assert_allclose(jacobian, np.eye(2), atol=1e-6)

    def later(z, residual):
        found = read(z, residual)
        found = found._replace(inputs=found.inputs[1:], vectors=found.vectors[1:])
        return commitment_loss(found, reduction="sum")[0]

    assert_allclose(jax.grad(later)(z, "ste_residual"), [0, 0], atol=1e-6)
    # 2 (z_m - C) at each level where the residual is the identity in z.
    left = np.array([[0.7, 1.2], [-0.3, 0.2], [-0.3, 0.2]])
    assert_allclose(jax.grad(later)(z, "detach"), 2 * left.sum(0), rtol=1e-5)


def test_shapes_and_the_one_codebook(world):
    _, params, state = started(CONFIG, world)
    codes = avg_tokenizer.encode(CONFIG, {"params": params, **state}, world[0])
    assert codes.shape == (30, 3) and codes.dtype == jnp.int32
    assert 0 <= int(codes.min()) and int(codes.max()) < 5
    assert [name for name in params if name.startswith("codebook")] == ["codebook_1"]
    assert params["codebook_1"].shape == (5, 6)
    own = dataclasses.replace(CONFIG, shared=False, sizes=(5, 4))
    params = jax.eval_shape(avg_tokenizer.build(own, *world).init, jax.random.key(0))["params"]
    assert [params[f"codebook_{m}"].shape for m in (1, 2)] == [(5, 6), (4, 6)]


def test_loss_by_the_definition(world, rows):
    objective, params, state = started(PLAIN, world)
    value, aux = jax.jit(objective.loss)(params, state, rows, jax.random.key(1))
    pair = np.asarray(rows["row"])[:10]
    x, y = world[0][world[1].image[pair]], world[1].features[pair]

    def tower(p, h):
        for n in (1, 2):
            h = h @ np.asarray(p[f"layer_{n}"]["kernel"]) + np.asarray(p[f"layer_{n}"]["bias"])
            h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)
            h = np.maximum(h, 0) if n == 1 else h
        return h

    z = tower(params["encoder"], x)
    book, rest, errors = np.asarray(params["codebook_1"]), z, []
    for _ in range(3):
        chosen = book[np.square(rest[:, None] - book[None]).sum(-1).argmin(1)]
        rest = rest - chosen
        errors.append(np.square(rest).mean())
    output = tower(params["decoder"], z - rest)
    expected = np.square(output - x).mean() + np.square(output - y).mean()
    assert_allclose(value, expected + 1.25 * np.mean(errors), rtol=1e-4)
    assert_allclose(aux.metrics["commitment"], np.mean(errors), rtol=1e-4)

    without = dataclasses.replace(PLAIN, alignment=0.0)
    alone = jax.jit(avg_tokenizer.build(without, *world).loss)(
        params, state, rows, jax.random.key(1)
    )[0]
    assert_allclose(alone, value - aux.metrics["alignment"], rtol=1e-5)
    same = world[0], Captions(world[1].image, world[0][world[1].image])
    terms = jax.jit(avg_tokenizer.build(PLAIN, *same).loss)(params, state, rows, jax.random.key(1))[
        1
    ]
    assert_allclose(terms.metrics["alignment"], terms.metrics["reconstruction"], rtol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"align_by": "contrastive"},
        {"align_by": "l1", "reconstruct_by": "l1", "align": "before", "latent": 7, "sizes": (5,)},
    ],
    ids=["mse", "contrastive", "before"],
)
def test_gradient_reaches_everything_and_no_row_that_does_not_count(changes, world, rows):
    objective, params, state = started(dataclasses.replace(PLAIN, **changes), world)

    def loss(params, batch):
        value, aux = objective.loss(params, state, batch, jax.random.key(1))
        return value, aux.state

    step = jax.jit(jax.grad(loss, has_aux=True))
    grads, after = step(params, rows)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        # Batch normalisation takes the biases before it out again.
        if "layer" not in str(path) or "bias" not in str(path):
            assert np.isfinite(leaf).all() and np.asarray(leaf).any(), path
    others = {**rows, "row": rows["row"].at[10:].set(1)}
    chex.assert_trees_all_close(step(params, others), (grads, after), rtol=1e-4, atol=1e-6)


def test_two_devices_agree_with_one(world, rows):
    objective, params, state = started(dataclasses.replace(PLAIN, align_by="contrastive"), world)

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
        chex.assert_trees_all_close(found, expected, rtol=1e-3, atol=1e-5)


def test_without_a_bottleneck_the_optimum_lies_between_image_and_caption():
    draw = np.random.default_rng(1)
    x = jnp.asarray(np.linalg.qr(draw.normal(size=(8, 6)))[0].T, jnp.float32)
    y = jnp.asarray(draw.normal(size=(6, 8)), jnp.float32)
    where = jnp.ones(6, bool)

    def loss(w):
        return difference(x @ w, x).mean() + alignment(CONFIG, x @ w, y, where=where)

    optimiser = optax.sgd(5.0)

    def step(carry, _):
        w, opt = carry
        updates, opt = optimiser.update(jax.grad(loss)(w), opt)
        return (optax.apply_updates(w, updates), opt), None

    w = jnp.zeros((8, 8))
    (w, _), _ = jax.lax.scan(step, (w, optimiser.init(w)), length=200)
    assert_allclose(x @ w, (x + y) / 2, atol=2e-3)


@pytest.mark.slow
def test_trained_codes_are_those_of_the_image_alone(world):
    objective = avg_tokenizer.build(CONFIG, *world)
    source, optimiser = rows_source(60, 30), optax.adam(3e-3)
    state = init_state(objective, optimiser, jax.random.key(0))
    run = jax.jit(partial(run_epochs, n_epochs=60), static_argnames="optimiser")
    state, metrics = run(objective, optimiser=optimiser, source=source, state=state)
    losses = np.asarray(metrics["loss"])
    assert losses[-5:].mean() < 0.9 * losses[:5].mean()
    variables = {"params": state.params, **state.extra}
    codes = jax.jit(partial(avg_tokenizer.encode, CONFIG))(variables, world[0])
    alone = jax.jit(partial(avg_tokenizer.encode, CONFIG))(variables, world[0][3:5])
    assert_array_equal(alone, codes[3:5])
    output = jax.jit(partial(avg_tokenizer.decode, CONFIG))(variables, codes)
    # Trained towards the middle of image and captions.
    middle = world[0] + 0.25
    assert np.square(output - middle).mean() < 0.9 * np.square(middle - middle.mean(0)).mean()
    numbers = jax.jit(partial(avg_tokenizer.quality, CONFIG))(variables, world[0])
    assert numbers["level_1/utilisation"] > 0.5
    assert numbers["level_3/residual_energy"] < numbers["level_1/residual_energy"]


def test_bad_input(world):
    images, captions = world
    for changes, match in (
        ({"sizes": (5, 4)}, "equal sizes"),
        ({"align": "before"}, "compares 6 features"),
        ({"sizes": (31,) * 2}, "k-means reads 30"),
    ):
        with pytest.raises(ValueError, match=match):
            avg_tokenizer.build(dataclasses.replace(CONFIG, **changes), images, captions)
    with pytest.raises(ValueError, match="outside"):
        avg_tokenizer.build(CONFIG, images[:20], captions)
    with pytest.raises(ValueError, match="finite"):
        avg_tokenizer.build(CONFIG, images * np.nan, captions)
