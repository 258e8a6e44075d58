"""InvRL: the recommender, environments, and the mask's second-order objective."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.losses.pointwise import degree_factors
from mmjax.models.multimodal import invrl
from mmjax.models.multimodal.invrl import stages
from mmjax.models.multimodal.invrl.objective import DegreeFactors, InvRLConfig
from mmjax.models.multimodal.invrl.stages import Pretrained
from tests.models.conftest import N_ITEMS, N_USERS, vectors

CONFIG = InvRLConfig(
    width=4, environments=3, weights=(1.0, 2.0, 3.0, 0.5), l2=0.1, item_l2=2.0, kernel_l2=0.2
)
WIDTH = 16

# Compiled: one program is quicker than its operations one by one.
_init = jax.jit(lambda objective, key: objective.init(key))
_loss = jax.jit(lambda objective, *args: objective.loss(*args))
_grad = jax.jit(lambda objective, p, *args: jax.grad(lambda p: objective.loss(p, *args)[0])(p))


def _large(params, key):
    """Random values of everyday size in place of the small start."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [0.5 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, drawn)


def _start(objective, getkey):
    return _large(_init(objective, getkey())["params"], getkey())


@pytest.fixture
def grouped(rows):
    return {**rows, "environment": jnp.array([0, 2, 2, 1])}


def _stage(task, getkey):
    params = _start(invrl.build(CONFIG, task).objective, getkey)
    return stages.pretrained(CONFIG, task, params), params


def _row_loss(task, u, i, negatives, score):
    """The definition, for one row; `score(u, i)` compares them."""
    bu, bi = degree_factors(task.train, *task.sizes)
    w1, w2, w3, w4 = CONFIG.weights
    positive = (w1 + w2 * bu[u] * bi[i]) * np.log1p(np.exp(-score(u, i)))
    others = [(w3 + w4 * bu[u] * bi[j]) * np.log1p(np.exp(score(u, j))) for j in negatives]
    return positive + np.mean(others)


def test_loss_by_its_definition(task, rows, getkey):
    model = invrl.build(CONFIG, task)
    p = _start(model.objective, getkey)
    rows = {**rows, "negatives": jnp.array([[3, 2], [4, 0], [1, 1], [0, 0]])}
    value, aux = _loss(model.objective, p, {}, rows, getkey())
    x = np.concatenate([task.content()["text"], task.content()["image"]], 1)
    items = np.concatenate(
        [p["item_embedding"], x @ np.asarray(p["kernel"]) + np.asarray(p["bias"])], 1
    )
    users = np.asarray(p["user_embedding"])
    rank = sum(
        _row_loss(task, *(np.asarray(rows[n][r]) for n in ("user", "item", "negatives")), score)
        for r in range(3)
        for score in [lambda u, i: users[u] @ items[i]]
    )
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-5)
    square = {n: float(np.square(v).sum()) for n, v in p.items()}
    l2 = 0.1 * (square["user_embedding"] + 2 * square["item_embedding"])
    l2 += 0.2 * (square["kernel"] + square["bias"])
    assert_allclose(value, rank + l2, rtol=1e-5)
    found = vectors(model, p)
    assert_allclose(found.items, items, atol=1e-5)
    assert found.users.shape == (N_USERS, 8)


def test_the_final_training_has_weights_of_its_own():
    final = invrl.final_config(InvRLConfig(final_item_l2=3.0, final_kernel_l2=0.7))
    assert (final.item_l2, final.kernel_l2) == (3.0, 0.7)


def test_a_mask_of_ones_changes_nothing_and_of_zeros_leaves_the_ids(task, getkey):
    plain = invrl.build(CONFIG, task)
    p = {**_start(plain.objective, getkey), "bias": jnp.zeros(4)}
    ones = invrl.build(CONFIG, task, jnp.ones(WIDTH))
    zeros = invrl.build(CONFIG, task, jnp.zeros(WIDTH))
    chex.assert_trees_all_equal(vectors(plain, p), vectors(ones, p))
    assert_array_equal(vectors(zeros, p).items[:, 4:], np.zeros((N_ITEMS, 4)))
    with pytest.raises(ValueError, match="3 entries, content 16"):
        invrl.build(CONFIG, task, jnp.ones(3))
    with pytest.raises(ValueError, match=r"\['audio'\] are not among"):
        invrl.build(InvRLConfig(modalities=("audio",)), task)


def test_a_masked_entry_of_the_content_is_never_read(task, getkey):
    mask = jnp.ones(WIDTH).at[5].set(0.0)
    model = invrl.build(CONFIG, task, mask)
    p = _start(model.objective, getkey)
    other = {**p, "kernel": p["kernel"].at[5].set(9.0)}
    chex.assert_trees_all_equal(vectors(model, p), vectors(model, other))


def _by_environment(task, p, kernels, biases, rows):
    x = np.concatenate([task.content()["text"], task.content()["image"]], 1)
    users = np.asarray(p["user_embedding"])
    losses = np.zeros(3)
    for r in np.flatnonzero(rows["where"]):
        e = int(rows["environment"][r])
        items = np.concatenate(
            [p["item_embedding"], x @ np.asarray(kernels[e]) + np.asarray(biases[e])], 1
        )
        args = (np.asarray(rows[n][r]) for n in ("user", "item", "negatives"))
        losses[e] += _row_loss(task, *args, lambda u, i, items=items: users[u] @ items[i])
    return losses


def test_each_environment_is_scored_by_its_own_kernel(task, grouped, getkey):
    fixed, pretrained = _stage(task, getkey)
    objective = stages.environments(CONFIG, fixed, jnp.ones(WIDTH))
    p = _start(objective, getkey)
    value, aux = _loss(objective, p, {}, grouped, getkey())
    expected = _by_environment(task, pretrained, p["kernel"], p["bias"], grouped)
    assert_allclose(aux.metrics["rank"], expected.sum(), rtol=1e-5)
    absolute = CONFIG.absolute * np.abs(p["kernel"]).mean((1, 2)).sum()
    l2 = CONFIG.kernel_l2 * (np.square(p["kernel"]).sum() + np.square(p["bias"]).sum())
    assert_allclose(value, expected.sum() + absolute + l2, rtol=1e-5)


def test_an_environment_learns_from_its_own_rows_alone(task, grouped, getkey):
    fixed, _ = _stage(task, getkey)
    config = InvRLConfig(**CONFIG.__dict__ | {"kernel_l2": 0.0})
    objective = stages.environments(config, fixed, jnp.zeros(WIDTH))
    grads = _grad(objective, _start(objective, getkey), {}, grouped, getkey())["kernel"]
    # The only row of environment 1 does not count.
    assert_array_equal(np.abs(grads).max((1, 2)) > 0, [True, False, True])


def test_the_mask_stage_by_its_definition(task, grouped, getkey):
    fixed, pretrained = _stage(task, getkey)
    config = InvRLConfig(**CONFIG.__dict__ | {"sigma": 0.0, "alpha": 0.3, "lam": 0.7})
    objective = stages.mask_learning(config, fixed, repetition=2)
    p = _start(objective, getkey)
    value, aux = _loss(objective, p, {}, grouped, getkey())
    gate = np.clip(np.asarray(p["gate"]) + 0.5, 0, 1)
    kernels = [gate[:, None] * np.asarray(p["kernel"])] * 3
    losses = _by_environment(task, pretrained, kernels, np.zeros((3, 4)), grouped)
    assert_allclose(aux.metrics["rank"], losses.sum() / 2, rtol=1e-5)

    projected = jnp.asarray(fixed.content) * gate[None]

    def of(e):
        def f(kernel):
            z = jnp.broadcast_to(projected @ kernel, (3, N_ITEMS, 4))
            return stages.environment_losses(config, fixed, z, grouped)[e]

        return f

    g = [jax.grad(of(e))(p["kernel"]) for e in (0, 2)]
    spread = np.square(g[0] - g[1]) / 2
    penalty = np.square(spread * (np.asarray(p["gate"]) + 0.5)[:, None]).sum()
    growth = 1.05**2
    assert_allclose(aux.metrics["penalty"], 0.3 * growth * penalty, rtol=1e-4)
    assert_allclose(aux.metrics["gate"], 0.7 * growth * np.square(p["gate"]).sum(), rtol=1e-5)
    total = sum(aux.metrics[n] for n in ("rank", "l2", "penalty", "gate"))
    assert_allclose(value, total, rtol=1e-6)
    assert_allclose(aux.metrics["open"], gate.mean(), rtol=1e-6)


def _by_hand():
    """One user, items 0 and 1 with content (1, 1) and (1, -1), two environments.

    The first feature means the same to both environments, the second the opposite.
    """
    one = jnp.ones((1, 1))
    zero = jnp.zeros((2, 1))
    content = jnp.array([[1.0, 1.0], [1.0, -1.0]])
    fixed = Pretrained(0 * one, one, zero, content, DegreeFactors(jnp.zeros(1), jnp.zeros(2)))
    rows = {
        "user": jnp.array([0, 0]),
        "item": jnp.array([0, 1]),
        "negatives": jnp.zeros((2, 0), jnp.int32),
        "where": jnp.array([True, True]),
        "environment": jnp.array([0, 1]),
    }
    return fixed, rows


def test_the_penalty_by_hand():
    """With a kernel of zeros and gates of 1/2 a positive's gradient is -x / 4.

    Environment 0: (-1/4, -1/4), environment 1: (-1/4, 1/4); mean (-1/4, 0). The spread is
    (0, 1/8), times mu + 1/2 = 1/2 it is (0, 1/16), whose square is 1/256.
    """
    fixed, rows = _by_hand()
    config = InvRLConfig(width=1, environments=2, sigma=0.0, kernel_l2=0.0)
    objective = stages.mask_learning(config, fixed)
    p = {"kernel": jnp.zeros((2, 1)), "gate": jnp.zeros(2)}
    value, aux = _loss(objective, p, {}, rows, jax.random.key(0))
    assert_allclose(aux.metrics["penalty"], 1 / 256, rtol=1e-5)
    assert_allclose(aux.metrics["rank"], np.log(2), rtol=1e-6)
    assert_allclose(value, 1 / 256 + np.log(2), rtol=1e-6)
    # The spread grows with the gate's square: penalty = (gate^3 / 2)^2 = gate^6 / 4, and
    # its derivative at 1/2 is 6 / 4 / 32. The stable feature has none.
    grads = _grad(objective, p, {}, rows, jax.random.key(0))["gate"]
    assert_allclose(grads, [0.0, 6 / 4 / 32], atol=1e-6)


def test_the_gate_of_the_unstable_feature_closes_further():
    fixed, rows = _by_hand()
    config = InvRLConfig(width=1, environments=2, alpha=10.0, lam=0.01)
    objective = stages.mask_learning(config, fixed)
    p = {"kernel": jnp.full((2, 1), 0.1), "gate": jnp.zeros(2)}

    @jax.jit
    def descend(p):
        def step(p, key):
            grads = jax.grad(lambda p: objective.loss(p, {}, rows, key)[0])(p)
            return jax.tree.map(lambda x, g: x - 0.1 * g, p, grads), None

        return jax.lax.scan(step, p, jax.random.split(jax.random.key(0), 200))[0]

    gate = descend(p)["gate"]
    assert gate[0] > 0.4 and gate[1] < -0.1


def test_pairs_move_to_the_environment_that_scores_them_highest(task, getkey):
    fixed, _ = _stage(task, getkey)
    params = {
        "kernel": jax.random.normal(getkey(), (3, WIDTH, 4)),
        "bias": jax.random.normal(getkey(), (3, 4)),
    }
    found = stages.best_environment(fixed, params, jnp.asarray(task.train))
    for (u, i), e in zip(task.train, found, strict=True):
        z = [
            fixed.content[i] @ k + b for k, b in zip(params["kernel"], params["bias"], strict=True)
        ]
        assert e == np.argmax([fixed.tastes[u] @ v for v in z])
    assert len(set(found.tolist())) > 1


@pytest.mark.parametrize("stage", ["recommender", "environments", "mask"])
def test_rows_devices_and_gradients(stage, task, grouped, getkey):
    """Rows with where = False count for nothing, 8 devices agree with one, all is reached."""
    fixed, _ = _stage(task, getkey)
    objective = {
        "recommender": lambda: invrl.build(CONFIG, task).objective,
        "environments": lambda: stages.environments(CONFIG, fixed, jnp.ones(WIDTH)),
        "mask": lambda: stages.mask_learning(CONFIG, fixed),
    }[stage]()
    p = _start(objective, getkey)
    many = {name: jnp.concatenate([x, x[::-1]] * 2) for name, x in grouped.items()}

    def grads(batch, axis=None):
        f = lambda q: objective.loss(q, {}, batch, jax.random.key(3), axis=axis)[0]  # noqa: E731
        result = jax.value_and_grad(f)(p)
        return result if axis is None else jax.lax.pmean(result, axis)

    one = jax.jit(grads)(many)
    shards = {name: x.reshape(8, 2, *x.shape[1:]) for name, x in many.items()}
    mapped = jax.pmap(lambda b: grads(b, "data"), axis_name="data")(shards)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], mapped), one, rtol=1e-3, atol=1e-4)
    for path, g in jax.tree_util.tree_leaves_with_path(one[1]):
        assert np.isfinite(g).all() and np.abs(g).max() > 0, path
    hidden = {**many, "item": jnp.where(many["where"], many["item"], 1)}
    assert_allclose(jax.jit(grads)(hidden)[0], one[0], rtol=1e-6)
