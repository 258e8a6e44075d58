"""MMGCN."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.multimodal import mmgcn
from mmjax.models.multimodal.mmgcn import MMGCNConfig
from tests.models.conftest import N_ITEMS, N_USERS, vectors

CONFIG = MMGCNConfig(width=4, hops=2, l2=0.3, latent=3, longest=8)


# Compiled: one program is quicker than its operations one by one.
_init = jax.jit(lambda model, key: model.objective.init(key))
_loss = jax.jit(lambda model, *args: model.objective.loss(*args))
_predict = jax.jit(lambda model, *args: vectors(model, *args))


def _start(config, task, key):
    model = mmgcn.build(config, task)
    state = _init(model, key)
    return model, state.pop("params"), state


def _steps(model, params, state, rows, n):
    optimiser = optax.adam(0.05)
    opt = optimiser.init(params)

    @jax.jit
    def step(params, state, opt):
        grads, aux = jax.grad(model.objective.loss, has_aux=True)(
            params, state, rows, jax.random.key(0)
        )
        updates, opt = optimiser.update(grads, opt)
        return optax.apply_updates(params, updates), aux.state, opt

    for _ in range(n):
        params, state, opt = step(params, state, opt)
    return params, state


def test_frozen_tables_stay_bit_for_bit(task, rows, getkey):
    model, params, state = _start(MMGCNConfig(width=4, trainable_ids=False), task, key=getkey())
    tables = {"id_embedding", "text_preference", "image_preference"}
    assert set(state["frozen"]) == tables
    assert not tables & set(params)
    trained, after = _steps(model, params, state, rows, 3)
    chex.assert_trees_all_equal(after, state)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), params, trained)
    assert changed["text_2_combine"]["kernel"] and changed["text_0_own"]["kernel"]


def test_tables_are_trained_by_default(task, rows, getkey):
    model, params, state = _start(CONFIG, task, getkey())
    assert state == {}
    trained, _ = _steps(model, params, state, rows, 1)
    for name in ("id_embedding", "text_preference", "image_preference"):
        assert (np.asarray(trained[name]) != np.asarray(params[name])).any(), name


def test_both_settings_start_from_the_same_kind_of_tables(task, getkey):
    _, params, _ = _start(CONFIG, task, getkey())
    _, _, state = _start(MMGCNConfig(**CONFIG.__dict__ | {"trainable_ids": False}), task, getkey())
    frozen = state["frozen"]
    chex.assert_trees_all_equal_shapes({n: params[n] for n in frozen}, frozen)
    for x in jax.tree.leaves(frozen):
        assert np.std(x) > 0


def test_a_layer_by_its_definition(task, getkey):
    config = MMGCNConfig(modalities=("text",), width=4, hops=1)
    model, p, _ = _start(config, task, getkey())
    x = np.concatenate([p["text_preference"], task.content(("text",))["text"]])
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    lrelu = lambda v: np.where(v > 0, v, 0.01 * v)  # noqa: E731
    mean = np.zeros_like(x)
    p = jax.tree.map(np.asarray, p)
    for node in range(N_USERS + N_ITEMS):
        near = [N_USERS + i for u, i in task.train if u == node]
        near += [u for u, i in task.train if N_USERS + i == node]
        if near:
            mean[node] = x[near].mean(0)
    h = lrelu(mean @ p["text_0_neighbours"]["kernel"])
    own = lrelu(x @ p["text_0_own"]["kernel"] + p["text_0_own"]["bias"]) + p["id_embedding"]
    both = np.concatenate([h, own], 1)
    expected = lrelu(both @ p["text_0_combine"]["kernel"] + p["text_0_combine"]["bias"])
    final = np.concatenate(_predict(model, p, {}, getkey()))
    assert_allclose(final, expected, atol=1e-5)


def test_modalities_are_averaged(task, getkey):
    model, p, _ = _start(CONFIG, task, getkey())
    both = np.concatenate(_predict(model, p, {}, getkey()))
    alone = []
    for name in ("text", "image"):
        one = mmgcn.build(MMGCNConfig(**CONFIG.__dict__ | {"modalities": (name,)}), task)
        alone.append(np.concatenate(_predict(one, p, {}, getkey())))
    assert_allclose(both, sum(alone) / 2, atol=1e-6)


def test_long_features_alone_are_mapped_first(task, getkey):
    _, p, _ = _start(CONFIG, task, getkey())
    assert p["image_preference"].shape == (N_USERS, 3)
    assert p["image_latent"]["kernel"].shape == (9, 3)
    assert p["text_preference"].shape == (N_USERS, 7)
    assert "text_latent" not in p


def test_loss_by_its_definition(task, rows, getkey):
    model, p, _ = _start(CONFIG, task, getkey())
    value, aux = _loss(model, p, {}, rows, getkey())
    users, items = _predict(model, p, {}, getkey())
    u, i, j = rows["user"][:3], rows["item"][:3], rows["negatives"][:3, 0]
    rank = jax.nn.softplus(-(users[u] * (items[i] - items[j])).sum(-1)).mean()
    ids = p["id_embedding"]
    double = jnp.concatenate([u, u]), N_USERS + jnp.concatenate([i, j])
    norms = sum(jnp.square(ids[x]).mean() for x in double)
    norms += sum(jnp.square(p[f"{m}_preference"]).mean() for m in ("text", "image"))
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-5)
    assert_allclose(value, rank + 0.3 * norms, rtol=1e-5)


def test_preferences_of_named_modalities_alone_are_penalised(task, rows, getkey):
    _, p, _ = _start(CONFIG, task, getkey())
    norms = {}
    for names in ((), ("image",), ("text",), ("image", "text"), ("audio",)):
        model = mmgcn.build(MMGCNConfig(**CONFIG.__dict__ | {"penalised": names}), task)
        norms[names] = _loss(model, p, {}, rows, getkey())[1].metrics["norms"]
    assert_array_equal(norms[()], norms["image", "text"])
    for name in ("image", "text"):
        extra = jnp.square(p[f"{name}_preference"]).mean()
        assert_allclose(norms[(name,)] - norms[("audio",)], extra, rtol=1e-4)


def test_gradient_is_finite_and_reaches_everything(task, rows, getkey):
    model, p, _ = _start(CONFIG, task, getkey())
    f = jax.jit(jax.grad(lambda p, o: o.objective.loss(p, {}, rows, jax.random.key(0))[0]))
    grads = f(p, model)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0, path


def test_a_missing_modality_is_named(task):
    with pytest.raises(ValueError, match=r"\['audio'\] are not among"):
        mmgcn.build(MMGCNConfig(modalities=("audio",)), task)
