"""Optimisers from settings against chains made by hand, bit for bit."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmjax.training.config import OptimConfig
from mmjax.training.optim import optimiser, step_size

PARAMS = {
    "dense": {"kernel": jnp.arange(6.0).reshape(2, 3) - 2, "bias": jnp.ones(3)},
    "pool": {"keys": jnp.full((4, 3), 0.5), "attention": jnp.full((4, 3), -0.25)},
}
PER_EPOCH = 4


def gradients(step):
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), step), 4)
    leaves, tree = jax.tree.flatten(PARAMS)
    drawn = [3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, drawn)


def trajectory(transformation, steps=30):
    def step(carry, i):
        params, state = carry
        updates, state = transformation.update(gradients(i), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, updates)

    start = (PARAMS, transformation.init(PARAMS))
    return jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(steps))[1])()


def assert_equal_updates(ours, theirs, steps=30):
    jax.tree.map(np.testing.assert_array_equal, trajectory(ours, steps), trajectory(theirs, steps))


@pytest.mark.parametrize(
    ("decay", "floor", "last", "weight_decay"),
    [
        (1.0, 0.0, 0, 0.0),
        (1.0, 0.0, 0, 0.1),
        (0.7, 0.0, math.inf, 0.0),
        # 0.03 * 0.7**3 is the last above the floor.
        (0.7, 0.01, 3, 0.1),
        (0.7, 0.05, 0, 0.0),
    ],
)
def test_adam_with_coupled_decay_and_a_step_size_per_epoch(decay, floor, last, weight_decay):
    config = OptimConfig(learning_rate=0.03, decay=decay, floor=floor, weight_decay=weight_decay)

    def rate(step):
        return 0.03 * decay ** jnp.minimum(step // PER_EPOCH, last)

    theirs = optax.adam(0.03 if decay == 1 else rate)
    if weight_decay:
        theirs = optax.chain(optax.add_decayed_weights(weight_decay), theirs)
    assert_equal_updates(optimiser(config, PER_EPOCH), theirs)


@pytest.mark.parametrize("warmup", [0, 1, 10])
@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_a_warm_up_whose_first_step_counts(rule, warmup):
    n = max(warmup, 1)
    rate = optax.linear_schedule(0.02 / n, 0.02, n - 1 or 1)
    theirs = optax.adamw(rate, weight_decay=0.01)
    if rule == "sgd":
        theirs = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(rate, 0.99))
    config = OptimConfig(
        "sgd" if rule == "sgd" else "adam",
        learning_rate=0.02,
        warmup_steps=warmup,
        warmup_from_zero=False,
        weight_decay=0.01,
        decoupled=rule == "adamw",
        momentum=0.99,
    )
    assert_equal_updates(optimiser(config, PER_EPOCH), theirs)


@pytest.mark.parametrize("warmup", [0, 7])
def test_clipping_and_decay_of_matrices_alone(warmup):
    rate = optax.linear_schedule(0.0, 0.02, warmup) if warmup else 0.02
    decayed = {
        "dense": {"kernel": True, "bias": False},
        "pool": {"keys": False, "attention": False},
    }
    adam = optax.adamw(rate, weight_decay=0.1, mask=decayed)
    theirs = optax.chain(optax.clip_by_global_norm(1.5), adam)
    config = OptimConfig(
        learning_rate=0.02,
        warmup_steps=warmup,
        weight_decay=0.1,
        decoupled=True,
        undecayed=("bias", "scale", "keys", "attention"),
        clip=1.5,
    )
    assert_equal_updates(optimiser(config, PER_EPOCH), theirs)


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.33])
def test_up_and_down_along_lines(share):
    epochs, rate = 7, 0.02
    steps = epochs * PER_EPOCH
    theirs = rate
    if share >= 0:
        rising = int(share * steps)
        up = optax.linear_schedule(0.0, rate, max(rising, 1))
        down = optax.linear_schedule(rate, 0.0, max(steps - rising, 1))
        theirs = optax.join_schedules([up, down], [rising])
    config = OptimConfig(
        learning_rate=rate,
        schedule="constant" if share < 0 else "linear",
        warmup_share=max(share, 0.0),
        weight_decay=0.1,
        decoupled=True,
    )
    ours = optimiser(config, PER_EPOCH, epochs=epochs)
    assert_equal_updates(ours, optax.adamw(theirs, weight_decay=0.1), steps)


def test_cosine_with_warm_up_and_floor():
    config = OptimConfig(learning_rate=0.1, schedule="cosine", floor=0.02, warmup_steps=4)
    rate = step_size(config, PER_EPOCH, epochs=6)
    assert callable(rate)
    sizes = [float(rate(n)) for n in range(30)]
    expected = [0.025 * n for n in range(4)]
    expected += [0.02 + 0.04 * (1 + math.cos(math.pi * n / 20)) for n in range(20)]
    np.testing.assert_allclose(sizes, expected + [0.02] * 6, rtol=1e-5)


def test_betas_and_masks_by_axes():
    config = OptimConfig(betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1, decayed_ndim=2)
    decayed = jax.tree.map(lambda x: x.ndim > 1, PARAMS)
    coupled = optax.chain(
        optax.add_decayed_weights(0.1, decayed), optax.adam(1e-3, 0.8, 0.95, 1e-6)
    )
    assert_equal_updates(optimiser(config, PER_EPOCH), coupled)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decoupled_decay_of_sgd_leaves_the_momentum_alone(momentum):
    config = OptimConfig("sgd", 0.1, momentum=momentum, weight_decay=0.2, decoupled=True)
    plain = optimiser(OptimConfig("sgd", 0.1, momentum=momentum), PER_EPOCH)
    both = (optimiser(config, PER_EPOCH), plain)
    ours, theirs = (t.update(gradients(0), t.init(PARAMS), PARAMS)[0] for t in both)
    shrunk = jax.tree.map(lambda u, p: u - 0.1 * 0.2 * p, theirs, PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, shrunk)


def test_accumulation_is_the_mean_gradient_and_counts_updates():
    config = OptimConfig(learning_rate=0.1, decay=0.5, accumulate=2)
    ours = trajectory(optimiser(config, PER_EPOCH), 16)[0]
    alone = optimiser(OptimConfig(learning_rate=0.1, decay=0.5), PER_EPOCH // 2)
    params, state = PARAMS, alone.init(PARAMS)
    for n in range(8):
        both = jax.tree.map(lambda a, b: (a + b) / 2, gradients(2 * n), gradients(2 * n + 1))
        updates, state = alone.update(both, state, params)
        params = optax.apply_updates(params, updates)
        for place in (2 * n + 1, 2 * n + 2):
            if place < 16:
                now = jax.tree.map(lambda x, place=place: x[place], ours)
                jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), now, params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"accumulate": 0}, "accumulate"),
        ({"clip": -1.0}, "clip"),
        ({"decay": 1.5}, "decay"),
        ({"warmup_share": 2.0}, "warmup_share"),
        ({"warmup_share": 0.1, "warmup_steps": 3}, "one of them"),
        ({"decay": 0.9, "schedule": "linear"}, "constant"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        OptimConfig(**settings)


@pytest.mark.parametrize("settings", [{"schedule": "cosine"}, {"warmup_share": 0.1}])
def test_what_depends_on_the_end_wants_to_know_it(settings):
    with pytest.raises(ValueError, match="epochs"):
        optimiser(OptimConfig(**settings), PER_EPOCH)
