"""Recall where items share codes, and the loss that ranks a gold sequence: hand-made numbers."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.decoding.code_recall import place_of, recall_code, recall_item
from mmjax.blocks.decoding.listwise import gold_first
from mmjax.blocks.decoding.tries import build_trie

# Items 0, 1 and 2 share a code, 4 and 5 as well; item 7 is not in the pool.
CODES = np.array([[0, 0], [0, 0], [0, 0], [0, 1], [1, 0], [1, 0], [1, 1]])


def test_recall_by_hand():
    trie = build_trie(CODES)
    leaves = jnp.asarray([[0, 1], [1, 0], [1, 2], [3, -1], [-1, -1], [0, 1]])
    place = place_of(trie, leaves, jnp.asarray([1, 2, 5, 6, 0, 7]))
    assert_array_equal(place.found, [True, True, True, True, False, False])
    assert_array_equal(place.before, [0, 1, 1, 0, 0, 0])
    assert_array_equal(place.mates, [3, 3, 2, 1, 1, 1])
    assert_array_equal(recall_code(place, 1), [1, 0, 0, 1, 0, 0])
    assert_allclose(recall_item(place, 1), [1 / 3, 0, 0, 1, 0, 0])
    assert_allclose(recall_item(place, 2), [2 / 3, 1 / 3, 1 / 2, 1, 0, 0])
    order = jnp.asarray([2, 0, 1, 0, 0, 0])
    assert_array_equal(recall_item(place, 2, order=order), [0, 1, 0, 1, 0, 0])


def test_recall_of_items_is_never_above_that_of_codes():
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 3, (40, 2))
    gold = jnp.asarray(draw.integers(0, 40, 50))
    for unique, rows in ((False, codes), (True, np.stack(np.divmod(np.arange(40), 7), 1))):
        trie = build_trie(rows)
        n = trie.leaf_ptr.shape[0] - 1
        leaves = jnp.asarray(np.stack([draw.permutation(n)[:6] for _ in range(50)]))
        place = place_of(trie, leaves, gold)
        for k in (1, 3, 6):
            item, code = recall_item(place, k), recall_code(place, k)
            assert (item <= code).all()
            assert bool((item == code).all()) is unique


def test_ranking_losses_by_hand():
    n = 9
    gold, others = jnp.asarray([0.0, -5.0]), jnp.stack([jnp.full(n, -1e9), jnp.full(n, -5.0)])
    all_count = jnp.ones((2, n), bool)
    proper = gold_first(gold, others, where=all_count)
    twice = gold_first(gold, others, where=all_count, double_softmax=True)
    assert_allclose(proper, [0.0, 2.302585], atol=1e-6)
    assert_allclose(twice, [np.log(np.e + n) - 1, 2.302585], rtol=1e-6)
    assert_allclose(twice[0], 1.4612, atol=5e-5)


def test_ranking_loss_of_masked_negatives_is_that_without_them():
    gold, others = jnp.asarray([-1.0, -2.0]), jnp.asarray([[-0.5, -3.0, 7.0], [1.0, 2.0, 3.0]])
    where = jnp.asarray([[True, True, False], [False, False, False]])
    for double in (False, True):

        def loss(gold, others, where, double=double):
            return gold_first(gold, others, where=where, double_softmax=double).sum()

        few = loss(gold[:1], others[:1, :2], where[:1, :2])
        assert_allclose(loss(gold, others, where), few, rtol=1e-6)
        grads = jax.grad(loss, argnums=(0, 1))(gold, others, where)
        assert grads[0][0] != 0 and grads[0][1] == 0
        assert_array_equal(grads[1] != 0, where)


def test_rows_in_steps():
    rows = {"a": jnp.arange(7), "b": jnp.arange(14).reshape(7, 2)}
    found = map_batched(lambda x: (x["a"] + 1, x["b"].sum(1)), rows, size=3)
    assert_array_equal(found[0], np.arange(7) + 1)
    assert_array_equal(found[1], rows["b"].sum(1))
