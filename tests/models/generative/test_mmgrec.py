"""MMGRec's generator: its equations, its source as a set, and its gates."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.models.generative import mmgrec
from tests.models.generative.mmgrec_cases import (
    BATCH,
    GRAD,
    HISTORY,
    ITEMS,
    KNOWN,
    LOGITS,
    LOSS,
    SIZES,
    SMALL,
    USER,
    VARIANTS,
    WIDTH,
    inputs,
    made,
    source,
    targets,
)


def _norm(x, w):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w["scale"] + w["bias"]


def _attend(q, k, v, out, bias=0.0, keep=None):
    logits = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1]) + bias
    logits = logits if keep is None else np.where(keep, logits, -np.inf)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    mixed = np.einsum("hqk,khd->qhd", p / p.sum(-1, keepdims=True), v)
    return np.einsum("qhd,hdm->qm", mixed, out)


def _split(x, w):
    return np.einsum("tm,mhd->thd", x, w["kernel"])


def _network(x, w):
    return np.maximum(x @ w["in"]["kernel"], 0) @ w["out"]["kernel"]


def _by_equations(p, items, user, tokens, spans):
    """One row, one target: the layers one after the other, head by head."""
    x, a, r = items, p["encoder_0"], p["relation_0"]
    g = {
        k: np.maximum(user @ r[f"{k}_gate_hidden"], 0) @ r[f"{k}_gate_out"][:, 0]
        for k in ("query", "key", "value")
    }
    q, k, v = (_split(x, a["attention"][k]) for k in ("query", "key", "value"))
    bias = g["query"] * g["key"] * (x @ r["query"]) @ (x @ r["key"]).T / np.sqrt(6)
    v = v + g["value"] * (x @ r["value"])[:, None]
    x = _norm(x + _attend(q, k, v, a["attention"]["out"]["kernel"], bias), a["attention_norm"])
    memory = _norm(x + _network(x, a["feed_forward"]), a["feed_forward_norm"])
    angle = np.arange(len(tokens))[:, None] / 10_000 ** (np.arange(0, WIDTH, 2) / WIDTH)
    y = p["embedding"][tokens] + np.stack([np.sin(angle), np.cos(angle)], 2).reshape(-1, WIDTH)
    past = np.tril(np.ones((len(tokens),) * 2, bool))
    a = p["decoder"]["layer_0"]
    for name, seen, keep in (("attention", y, past), ("cross", memory, None)):
        w = a[name]
        qkv = (_split(y, w["query"]), _split(seen, w["key"]), _split(seen, w["value"]))
        y = _norm(y + _attend(*qkv, w["out"]["kernel"], keep=keep), a[f"{name}_norm"])
    y = _norm(y + _network(y, a["feed_forward"]), a["feed_forward_norm"])
    return [row @ p["head"][:, slice(*span)] for row, span in zip(y, spans, strict=True)]


def test_by_its_equations_in_numpy():
    model, _, params = made()
    logits = LOGITS(model, params, source(), targets())
    p = jax.tree.map(np.asarray, params)
    items, users, codes = map(np.asarray, inputs())
    spans = ((0, 4), (4, 9))
    for row, k in ((0, 0), (0, 1), (1, 1)):
        shown = np.asarray(HISTORY[row])[np.asarray(HISTORY[row]) >= 0]
        tokens = [9, codes[ITEMS[row, k], 0]]
        want = _by_equations(p, items[shown], users[USER[row]], tokens, spans)
        for n in range(2):
            assert_allclose(logits[n][row, k], want[n], atol=2e-4)
    # Without a history the decoder reads one learned vector.
    want = _by_equations(p, p["nothing"][None], users[3], [9, codes[6, 0]], spans)
    assert_allclose(logits[1][2, 0], want[1], atol=2e-4)


@pytest.mark.parametrize("changes", VARIANTS)
def test_loss_by_its_definition(changes):
    model, objective, params = made(**changes)
    value, aux = LOSS(objective, params, BATCH)
    logits, codes = LOGITS(model, params, source(), targets()), np.asarray(targets())
    there = np.asarray(ITEMS) >= 0
    losses = []
    for n, x in enumerate(logits):
        if not changes:
            column = codes[..., n]
        else:
            column = codes[..., n] + 1 if n < 2 else np.full((3, 2), 7)
        own = np.take_along_axis(np.asarray(jax.nn.log_softmax(x)), column[..., None], 2)[..., 0]
        losses.append(-own[there].mean())
    assert len(logits) == (3 if changes else 2)
    assert_allclose(value, np.mean(losses), rtol=1e-5)
    assert_allclose([aux.metrics[f"token_{n + 1}"] for n in range(len(losses))], losses, rtol=1e-5)


def test_everything_learns():
    _, objective, params = made()
    grads = GRAD(objective, params, BATCH)[1]
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("changes", VARIANTS)
def test_sources_are_sets_and_padding_is_nothing(changes):
    model, _, params = made(**changes)
    plain = LOGITS(model, params, source(), targets())
    moved = HISTORY[:, jnp.array([2, 0, 3, 1])]
    chex.assert_trees_all_close(
        LOGITS(model, params, source(history=moved), targets()), plain, atol=1e-5
    )
    longer = jnp.pad(HISTORY, ((0, 0), (1, 2)), constant_values=-1)
    chex.assert_trees_all_close(
        LOGITS(model, params, source(history=longer), targets()), plain, atol=1e-5
    )


def test_the_encoder_follows_a_permutation_of_the_source():
    model, _, params = made()
    encode = jax.jit(lambda p, s: model.apply({"params": p}, *s, method="encode"))
    order = jnp.array([2, 0, 3, 1])
    plain, moved = encode(params, source()), encode(params, source(history=HISTORY[:, order]))
    assert_allclose(moved.vectors[0], plain.vectors[0][order], atol=1e-5)


def test_targets_of_a_row_know_nothing_of_each_other():
    model, _, params = made()
    both = LOGITS(model, params, source(), targets())
    other = LOGITS(model, params, source(), targets(ITEMS.at[:, 1].set(7)))
    chex.assert_trees_all_equal([x[:, 0] for x in both], [x[:, 0] for x in other])


def _closed(params, *names):
    """The parameters with these gates at zero, and the others wide open."""

    def close(path, x):
        zero = any(path[-1].key == f"{n}_gate_out" for n in names)
        wide = path[-1].key.endswith("_gate_out")
        return jnp.zeros_like(x) if zero else jnp.full_like(x, 2.0) if wide else x

    return jax.tree_util.tree_map_with_path(close, params)


@pytest.mark.parametrize(
    ("closed", "same"),
    [((), False), (("query", "key", "value"), True), (("query", "value"), True),
     (("value",), False), (("query",), False)],
)  # fmt: skip
def test_users_matter_as_far_as_their_gates_are_open(closed, same):
    model, _, params = made()
    params = _closed(params, *closed)
    one, two = (
        LOGITS(model, params, source(user=user), targets()) for user in (USER, jnp.array([1, 1, 1]))
    )
    gap = max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True))
    assert gap == 0 if same else gap > 1e-4


def test_closed_gates_are_plain_attention():
    model, _, params = made()
    plain = mmgrec.generator(dataclasses.replace(SMALL, relation=False), SIZES, WIDTH)
    without = {k: x for k, x in params.items() if not k.startswith("relation")}
    closed = LOGITS(model, _closed(params, "query", "key", "value"), source(), targets())
    expected = LOGITS(plain, without, source(), targets())
    chex.assert_trees_all_close(closed, expected, atol=1e-6)


def test_frozen_vectors_get_no_gradient():
    _, _, params = made()
    frozen = inputs()

    def loss(items, users):
        model = mmgrec.build(SMALL, frozen._replace(items=items, users=users), SIZES, KNOWN)
        return model.objective.loss(params, {}, BATCH, jax.random.key(0))[0]

    grads = jax.jit(jax.grad(loss, argnums=(0, 1)))(frozen.items, frozen.users)
    assert not any(g.any() for g in grads)


def test_norms_without_parameters():
    def names(**changes):
        leaves = jax.tree_util.tree_leaves_with_path(made(**changes)[2])
        return {path[-1].key for path, _ in leaves}

    assert "scale" in names() and "scale" not in names(affine_ln=False)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="ids of 2 levels, but 1 sizes"):
        mmgrec.build(SMALL, inputs(), (4,), KNOWN)
