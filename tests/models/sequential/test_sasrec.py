"""SASRec: it sees the past alone, padding and neighbours in a row change nothing."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.sequences.packing import Tokens, packed, side_by_side, tokens
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.sequences import from_lists
from mmjax.data.synthetic.interactions import chains
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.sequential.sasrec.config import SASRecConfig
from mmjax.models.sequential.sasrec.network import SASRec
from mmjax.models.sequential.sasrec.objective import build
from mmjax.retriever import index_of
from mmjax.training.config import FitConfig
from mmjax.training.fitting import fit
from mmjax.training.sources.sequences import packed_source

N_ITEMS = 9
CONFIG = SASRecConfig(width=8, layers=1, heads=2, hidden=12, length=6, dropout=0.0)
LISTS = [[0, 1, 2, 3, 4, 5], [6, 5, 4, 3], [1, 3, 5, 7, 0, 2, 4, 8], [7, 6, 5, 4, 3]]
DATA = from_lists(LISTS, N_ITEMS)


def task(split="test"):
    _, start, stop = DATA.histories(split)
    return SequenceTask(DATA.items, start, stop, N_ITEMS)


@pytest.fixture(scope="module")
def params():
    params = init(build(CONFIG, task()).objective, jax.random.key(3))
    # Away from the initial zeros and ones, so that every parameter has an effect.
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    moved = [x + 0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, moved)


init = jax.jit(lambda objective, key: objective.init(key)["params"])
loss_of = jax.jit(lambda objective, params, rows, key: objective.loss(params, {}, rows, key)[0])
gradient_of = jax.jit(jax.value_and_grad(loss_of, argnums=1))


def vectors(model, params):
    """Vectors of the task's users and of the items."""
    return index_of(model.retriever, {"params": params})


@jax.jit
def states(params, rows):
    return SASRec(CONFIG, N_ITEMS).apply({"params": params}, rows)


def alone(items, width=None, align="right"):
    """One sequence in a row of its own."""
    width = width or len(items)
    where = np.zeros((1, width), bool)
    row = np.full((1, width), 7, np.int32)
    place = slice(width - len(items), None) if align == "right" else slice(len(items))
    row[0, place], where[0, place] = items, True
    return side_by_side(jnp.asarray(row), jnp.asarray(where))


@pytest.mark.parametrize("place", range(4))
def test_later_items_have_exactly_no_effect(params, place):
    rows = alone([0, 1, 2, 3])

    def one(table):
        return states({**params, "item_embedding": table}, rows)[0, place].sum()

    reached = np.abs(jax.grad(one)(params["item_embedding"])).sum(1)
    assert (reached[: place + 1] > 0).all()
    assert_array_equal(reached[place + 1 :], 0)


def test_earlier_items_and_their_order_have_an_effect(params):
    one, two = (states(params, alone(items))[0, -1] for items in ([0, 1, 2], [1, 0, 2]))
    assert np.abs(one - two).max() > 1e-3


@pytest.mark.parametrize("align", ["right", "left"])
def test_padding_changes_nothing(params, align):
    items = [3, 1, 4]
    plain = states(params, alone(items))[0]
    for width in (4, 6, 11):
        rows = alone(items, width, align)
        assert_allclose(states(params, rows)[0][rows.window[0] == 0], plain, atol=1e-6)


def test_what_shares_a_row_changes_nothing(params):
    _, start, stop = DATA.histories("test")
    for width in (8, 13):
        rows = packed(DATA.items, start, stop, width)
        found = tokens(rows, jnp.arange(len(rows.window)))
        assert width == 8 or len(rows.window) < len(LISTS)
        # Only six positions have vectors of their own.
        found = found._replace(age=jnp.minimum(found.age, 5))
        x = states(params, found)
        for user, items in enumerate(LISTS):
            row = alone(items[:-1])
            expected = states(params, row._replace(age=jnp.minimum(row.age, 5)))[0]
            assert_allclose(x[found.window == user], expected, atol=1e-6)


def test_other_windows_of_a_row_have_exactly_no_effect(params):
    rows = Tokens(
        *(jnp.array([x]) for x in ([0, 1, 2, 3], [1, 5, 3, 6], [4, 4, 2, 2], [1, 0, 1, 0]))
    )

    def last(table):
        return states({**params, "item_embedding": table}, rows)[0, 3].sum()

    reached = np.abs(jax.grad(last)(params["item_embedding"])).sum(1)
    assert (reached[2:4] > 0).all() and not reached[:2].any() and not reached[4:].any()


def test_the_equations_in_numpy(params):
    """The paper's equations 1 to 8 for one sequence, written once more."""
    p = jax.tree.map(np.asarray, params)
    items, d = [5, 0, 2, 8], CONFIG.width

    def norm(x, q):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8) * q["scale"] + q["bias"]

    x = p["item_embedding"][items] * np.sqrt(d) + p["age_embedding"][3::-1]
    for n in range(CONFIG.layers):
        layer = p[f"layer_{n}"]
        y, a = norm(x, layer["attention_norm"]), layer["attention"]
        q, k, v = (
            np.einsum("tm,mhd->htd", y, a[w]["kernel"]) + a[w]["bias"][:, None]
            for w in ("query", "key", "value")
        )
        logits = q @ k.transpose(0, 2, 1) / np.sqrt(d / 2)
        logits[:, ~np.tri(4, dtype=bool)] = -np.inf
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("htd,hdm->tm", weights @ v, a["out"]["kernel"]) + a["out"]["bias"]
        x = x + mixed
        y, f = norm(x, layer["feed_forward_norm"]), layer["feed_forward"]
        hidden = np.maximum(y @ f["in"]["kernel"] + f["in"]["bias"], 0)
        x = x + hidden @ f["out"]["kernel"] + f["out"]["bias"]
    expected = norm(x, p["final_norm"])
    assert_allclose(states(params, alone(items))[0], expected, atol=2e-5)


TABLE = jnp.array([[1.0, 0.0], [0.5, -0.5], [-1.0, 1.0]])
HAND = {
    "item": jnp.array([[0, 2]]),
    "following": jnp.array([[1, 0]]),
    "window": jnp.array([[0, -1]]),
    "age": jnp.array([[0, 0]]),
    "negatives": jnp.array([[[2], [1]]]),
    "where": jnp.array([True]),
}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # Without layers the state is the normalised item vector, (1, -1); the next item scores
        # 1, the negative -2, the item itself 1.
        ("bce", np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))),
        ("softmax", np.log(2 + np.exp(-3))),
    ],
)
def test_losses_by_hand(loss, expected, getkey):
    config = SASRecConfig(width=2, layers=0, length=1, dropout=0.0, loss=loss)
    one = SequenceTask(np.array([0]), np.array([0]), np.array([1]), 3)
    objective = build(config, one).objective
    params = init(objective, getkey())
    params = {**params, "item_embedding": TABLE, "age_embedding": jnp.zeros((1, 2))}
    assert_allclose(loss_of(objective, params, HAND, getkey()), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", ["bce", "softmax"])
def test_equal_scores(loss, getkey):
    objective = build(dataclasses.replace(CONFIG, loss=loss), task()).objective
    params = init(objective, getkey())
    params = {**params, "item_embedding": jnp.zeros((N_ITEMS, 8))}
    value = loss_of(objective, params, batch(getkey()), getkey())
    assert_allclose(value, 2 * np.log(2) if loss == "bce" else np.log(N_ITEMS), rtol=1e-5)


def batch(key, n_negatives=2):
    unseen = negative_index(DATA.train_pairs(), len(LISTS), N_ITEMS)
    windows = DATA.windows("train")
    source = packed_source(DATA.items, windows, 6, 9, n_negatives=n_negatives, unseen=unseen)
    return source.batch(source.epoch(key), 0, jax.random.fold_in(key, 1))


@pytest.mark.parametrize("loss", ["bce", "softmax"])
def test_gradient_reaches_everything_and_nothing_that_does_not_count(loss, params, getkey):
    config = dataclasses.replace(CONFIG, loss=loss)
    objective, rows, key = build(config, task()).objective, batch(getkey()), getkey()
    expected, grads = gradient_of(objective, params, rows, key)
    for leaf in jax.tree.leaves(grads):
        assert np.isfinite(leaf).all() and np.asarray(leaf).any()
    more = {name: jnp.concatenate([x, x[:1]]) for name, x in rows.items()}
    more["where"] = jnp.append(rows["where"], False)
    padding = rows["window"] < 0
    assert padding.any()
    more["item"] = more["item"].at[: len(padding)].set(jnp.where(padding, 8, rows["item"]))
    more["following"] = more["following"].at[-1].set(8)
    again, same = gradient_of(objective, params, more, key)
    assert_allclose(again, expected, rtol=1e-6)
    chex.assert_trees_all_close(same, grads, atol=1e-6)


@pytest.mark.multi
def test_the_binary_loss_does_not_depend_on_the_devices(params, getkey, devices_agree):
    config = dataclasses.replace(CONFIG, loss="bce")
    rows = {name: jnp.concatenate([x] * 2) for name, x in batch(getkey()).items()}
    rows["where"] = rows["where"].at[-1].set(False)
    devices_agree(build(config, task()).objective, params, rows)


def test_users_are_the_latest_state_of_their_history(params):
    users, items = vectors(build(CONFIG, task()), params)
    assert_array_equal(items, params["item_embedding"])
    for user, row in enumerate(LISTS):
        assert_allclose(users[user], states(params, alone(row[:-1][-6:]))[0, -1], atol=1e-6)
    before, _ = vectors(build(CONFIG, task("valid")), params)
    assert_allclose(before[1], states(params, alone([6, 5]))[0, -1], atol=1e-6)


def test_a_user_without_a_history_has_no_direction(params):
    some = SequenceTask(np.array([3, 4]), np.array([0, 0, 2]), np.array([2, 0, 2]), N_ITEMS)
    users, _ = vectors(build(CONFIG, some), params)
    assert users.shape == (3, 8) and not users[1:].any() and users[0].any()
    with pytest.raises(ValueError, match="nothing to pack"):
        build(CONFIG, SequenceTask(np.array([3]), np.array([0]), np.array([0]), N_ITEMS))


def test_many_histories_go_in_steps(params):
    lists = [[n % N_ITEMS] * 6 for n in range(300)]
    data = from_lists(lists, N_ITEMS)
    many = SequenceTask(data.items, data.offsets[:-1], data.offsets[1:], N_ITEMS)
    users, _ = vectors(build(CONFIG, many), params)
    assert_allclose(users[9:18], users[:9], atol=1e-6)
    assert_allclose(users[297], users[0], atol=1e-6)
    assert_allclose(users[5], states(params, alone([5] * 6))[0, -1], atol=1e-6)


def test_dropout_is_drawn_in_training_alone(params, getkey):
    model = build(dataclasses.replace(CONFIG, dropout=0.5), task())
    rows, one, two = batch(getkey()), getkey(), getkey()
    losses = [loss_of(model.objective, params, rows, k) for k in (one, two)]
    assert losses[0] != losses[1]
    plain = vectors(build(CONFIG, task()), params)
    chex.assert_trees_all_equal(vectors(model, params), plain)


def test_an_unknown_loss_is_refused():
    config = SASRecConfig()
    object.__setattr__(config, "loss", "hinge")
    with pytest.raises(ValueError, match="SASRec: loss 'hinge'; choose 'bce' or 'softmax'"):
        build(config, task())


@pytest.mark.parametrize("loss", [pytest.param("bce", marks=pytest.mark.slow), "softmax"])
def test_it_learns_what_follows_what(loss):
    data = chains(n_users=300, n_items=60)
    _, start, stop = data.histories("test")
    config = SASRecConfig(width=16, hidden=16, length=14, dropout=0.1, loss=loss)
    model = build(config, SequenceTask(data.items, start, stop, data.n_items))
    unseen = negative_index(data.train_pairs(), data.n_users, data.n_items)
    source = packed_source(data.items, data.windows("train"), 14, 32, n_negatives=1, unseen=unseen)
    quiet = FitConfig(epochs=30, devices=1, quiet=True, tensorboard=False)
    params = fit(model.objective, source, optax.adam(1e-2), None, quiet).variables[0]["params"]
    users, items = vectors(model, params)
    cluster = data.attributes["cluster"].labels
    best = cluster[np.argmax(users @ items.T, axis=1)]
    last = cluster[data.items[stop - 1]]
    assert ((best - last) % 6 == 1).mean() > 0.9
