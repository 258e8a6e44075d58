"""TIGER against its definition: the search is teacher forcing, and padding is nothing."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.decoding.tries import build_trie
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.generative import tiger
from mmjax.models.generative.tiger.config import TIGERConfig
from mmjax.retriever import exclusion, index_of
from tests.starts import started

CONFIG = TIGERConfig(
    width=8, layers=1, heads=2, head_width=4, hidden=16, dropout=0.0, history=3, user_buckets=3,
    beams=9,
)  # fmt: skip
SIZES = (3, 2, 2)
CODES = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [2, 0, 0], [2, 0, 1], [2, 1, 0], [2, 1, 0]])
HISTORIES = ([0, 3, 2, 5], [6], [], [1, 4, 4])


@pytest.fixture(scope="module")
def task():
    lengths = np.array([len(h) for h in HISTORIES])
    stop = np.cumsum(lengths)
    items = np.concatenate([np.asarray(h, np.int32) for h in HISTORIES])
    return SequenceTask(items, stop - lengths, stop, n_items=len(CODES))


@pytest.fixture(scope="module")
def objective(task):
    return tiger.build(CONFIG, task, CODES, SIZES).objective


@pytest.fixture(scope="module")
def params(objective):
    return started(objective, jax.random.key(0))["params"]


@pytest.fixture(scope="module")
def batch():
    return {
        "user": jnp.array([0, 4, 2, 1]),
        "history": jnp.array([[0, 3, 2], [-1, -1, 6], [-1, 1, 4], [5, 5, 5]]),
        "item": jnp.array([5, 2, 0, 1]),
        "where": jnp.array([True, True, True, False]),
    }


def _logits(config, params, batch):
    model = tiger.TIGER(config, SIZES)
    codes = jnp.asarray(CODES, jnp.int32)
    inputs = batch["history"], batch["user"], batch["item"]
    return model, model.apply({"params": params}, codes, *inputs)


@pytest.mark.parametrize("softmax", ["level", "vocabulary"])
def test_the_loss_is_the_cross_entropy_of_the_codes(softmax, task, params, batch):
    config = dataclasses.replace(CONFIG, softmax=softmax)
    objective = tiger.build(config, task, CODES, SIZES).objective
    loss, aux = jax.jit(objective.loss)(params, {}, batch, jax.random.key(1))
    _, logits = _logits(config, params, batch)
    logits, first = np.asarray(logits, np.float64), (1, 4, 6)
    expected = np.zeros(3)
    for row in range(3):
        for level, code in enumerate(CODES[batch["item"][row]]):
            x = logits[row, level]
            own = x[first[level] + code]
            if softmax == "level":
                x = x[first[level] : first[level] + SIZES[level]]
            expected[level] += (np.log(np.exp(x).sum()) - own) / 3
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    found = [aux.metrics[f"code_{n}"] for n in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("softmax", ["level", "vocabulary"])
def test_the_search_is_an_exhaustive_ranking(softmax, task, params):
    config = dataclasses.replace(CONFIG, softmax=softmax)
    retriever = tiger.build(config, task, CODES, SIZES).retriever
    retrieve = jax.jit(retriever.retrieve, static_argnames="k")
    index = index_of(retriever, {"params": params})
    found = retrieve(index, jnp.arange(4), None, k=7)
    model = tiger.TIGER(config, SIZES)
    histories = jnp.asarray(task.latest(3))
    users, items = jnp.arange(4), jnp.tile(jnp.arange(7)[None], (4, 1))
    codes = jnp.asarray(CODES, jnp.int32)
    scores = np.asarray(tiger.score_items(model, params, codes, histories, users, items))
    order = np.argsort(-scores, axis=1, kind="stable")
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, order, 1), rtol=1e-5)
    # Items 5 and 6 share an id, so that their order is that of the items.
    np.testing.assert_array_equal(found.ids, order)
    # What is excluded is as if it were not there, for one query and not for others.
    pairs = np.array([[1, order[0, 0]], [0, order[1, 0]]])
    some = retrieve(index, jnp.array([1, 0, 2]), exclusion(pairs), k=6)
    np.testing.assert_array_equal(some.ids[0], order[1, order[1] != order[1, 0]])
    np.testing.assert_array_equal(some.ids[1], order[0, order[0] != order[0, 0]])
    np.testing.assert_array_equal(some.ids[2], order[2, :6])


def test_scores_are_those_of_teacher_forcing(params, batch):
    model, logits = _logits(CONFIG, params, batch)
    expected = 0.0
    for level, code in enumerate(CODES[np.asarray(batch["item"])].T):
        log_p = jax.nn.log_softmax(model.of_level(logits[:, level], level), axis=-1)
        expected += jnp.take_along_axis(log_p, jnp.asarray(code)[:, None], 1)[:, 0]
    codes = jnp.asarray(CODES, jnp.int32)
    score = functools.partial(tiger.score_items, model, params, codes)
    scores = score(batch["history"], batch["user"], batch["item"][:, None])
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-5)


def test_padding_changes_nothing_and_order_does(params, batch):
    _, logits = _logits(CONFIG, params, batch)
    left = {**batch, "history": jnp.pad(batch["history"], ((0, 0), (2, 0)), constant_values=-1)}
    right = {**batch, "history": jnp.pad(batch["history"], ((0, 0), (0, 3)), constant_values=-1)}
    for other in (left, right):
        np.testing.assert_allclose(_logits(CONFIG, params, other)[1], logits, atol=1e-5)
    turned = _logits(CONFIG, params, {**batch, "history": batch["history"][:, ::-1]})[1]
    assert jnp.abs(turned - logits)[0].max() > 1e-4
    np.testing.assert_allclose(turned[1], logits[1], atol=1e-5)  # one item has one order


def test_users_of_a_bucket_are_alike(params, batch):
    _, logits = _logits(CONFIG, params, batch)
    same = _logits(CONFIG, params, {**batch, "user": batch["user"] + 3})[1]
    np.testing.assert_array_equal(same, logits)
    other = _logits(CONFIG, params, {**batch, "user": batch["user"] + 1})[1]
    assert (jnp.abs(other - logits).max((1, 2)) > 1e-5).all()
    config = dataclasses.replace(CONFIG, user_buckets=0)
    objective = tiger.build(
        config, SequenceTask(np.zeros(1, np.int32), np.zeros(1, int), np.ones(1, int), 7), CODES,
        SIZES,
    ).objective  # fmt: skip
    params = started(objective, jax.random.key(0))["params"]
    one, two = (
        _logits(config, params, {**batch, "user": user})[1]
        for user in (batch["user"], 0 * batch["user"])
    )
    np.testing.assert_array_equal(one, two)


def test_rows_that_do_not_count_change_nothing_and_all_else_learns(objective, params, batch):
    grad = jax.jit(jax.grad(lambda p, b: objective.loss(p, {}, b, jax.random.key(0))[0]))
    gradient = grad(params, batch)
    other = {**batch, "item": batch["item"].at[3].set(6), "user": batch["user"].at[3].set(0)}
    chex.assert_trees_all_close(grad(params, other), gradient, rtol=1e-6)
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(g).all() and jnp.abs(g).max() > 0, path


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_histories_cut_to_a_bucket_train_as_padded_ones(longest, task, objective, params, batch):
    config = dataclasses.replace(CONFIG, length_buckets=(1, 2))
    cut = tiger.build(config, task, CODES, SIZES).objective
    latest = jnp.arange(3) >= 3 - longest
    batch = {**batch, "history": jnp.where(latest, batch["history"], -1)}

    def both(built):
        loss = jax.value_and_grad(built.loss, has_aux=True)
        (value, aux), gradient = jax.jit(loss)(params, {}, batch, jax.random.key(1))
        return value, aux.metrics, gradient

    chex.assert_trees_all_close(both(cut), both(objective), rtol=1e-4, atol=1e-6)


def test_buckets_are_cut_to_in_fact(task, params, batch):
    """With a branch of length 1 an item before the latest is not read, if no row has more."""
    config = dataclasses.replace(CONFIG, length_buckets=(1,))
    program = jax.make_jaxpr(tiger.build(config, task, CODES, SIZES).objective.loss)(
        params, {}, batch, jax.random.key(1)
    )
    (switch,) = [e for e in program.eqns if e.primitive.name == "custom_vjp_call"]
    (cond,) = [e for e in switch.params["call_jaxpr"].eqns if e.primitive.name == "cond"]
    sources = [
        max(v.aval.shape[1] for e in b.eqns for v in e.outvars if v.aval.ndim == 3)
        for b in cond.params["branches"]
    ]
    assert sources == [1 + 3, 1 + 9]


def test_devices_with_buckets_of_their_own_agree(task, params, batch, devices_agree):
    config = dataclasses.replace(CONFIG, length_buckets=(1, 2))
    devices_agree(tiger.build(config, task, CODES, SIZES).objective, params, batch)


@pytest.mark.slow
def test_it_learns_what_follows_what(objective, batch):
    import optax

    tx = optax.adam(1e-2)
    params = started(objective, jax.random.key(1))["params"]

    @jax.jit
    def train(params):
        def step(carry, key):
            params, opt = carry
            loss, g = jax.value_and_grad(lambda p: objective.loss(p, {}, batch, key)[0])(params)
            updates, opt = tx.update(g, opt)
            return (optax.apply_updates(params, updates), opt), loss

        return jax.lax.scan(
            step, (params, tx.init(params)), jax.random.split(jax.random.key(2), 150)
        )

    (params, _), losses = train(params)
    assert losses[-1] < 0.05 < losses[0]
    model = tiger.TIGER(CONFIG, SIZES)
    catalogue = tiger.ItemIds(jnp.asarray(CODES, jnp.int32), build_trie(CODES, SIZES))
    found = tiger.recommend(model, params, catalogue, batch["history"], batch["user"], k=7)
    np.testing.assert_array_equal(found.ids[:3, 0], batch["item"][:3])


def test_what_does_not_fit_is_refused(task):
    with pytest.raises(ValueError, match="7 items"):
        tiger.build(CONFIG, task, CODES[:5], SIZES)
    with pytest.raises(ValueError, match=r"2 at level 1|level 1"):
        tiger.build(CONFIG, task, CODES + [0, 1, 0], SIZES)
    config = dataclasses.replace(CONFIG)
    object.__setattr__(config, "softmax", "all")
    with pytest.raises(ValueError, match="softmax 'all'"):
        tiger.build(config, task, CODES, SIZES)
    for buckets in ((2, 1), (0, 1), (1, 1)):
        config = dataclasses.replace(CONFIG, length_buckets=buckets)
        with pytest.raises(ValueError, match="ascend"):
            tiger.build(config, task, CODES, SIZES)
