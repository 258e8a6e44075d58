"""Growing classifier, consolidation and topics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.losses import ewc
from mmjax.blocks.losses.incremental_classifier import between, cross_entropy, top_rows
from mmjax.blocks.quantisation import topics


def test_masked_rows_are_as_if_they_were_not_there():
    f, w = (
        jax.random.normal(jax.random.key(0), (5, 4)),
        jax.random.normal(jax.random.key(1), (9, 4)),
    )
    label = jnp.array([3, 5, 4, 3, 5])

    def loss(w, where=None, label=label):
        return cross_entropy(f @ w.T, label, where).mean()

    now = between(9, 3, 6)
    value, slope = jax.value_and_grad(loss)(w, now)
    alone, own = jax.value_and_grad(loss)(w[3:6], None, label - 3)
    assert_allclose(value, alone, rtol=1e-6)
    assert_allclose(slope[3:6], own, atol=1e-6)
    assert_array_equal(slope[:3], 0.0)
    assert_array_equal(slope[6:], 0.0)


@pytest.mark.parametrize("block", [4, 5, 100])
def test_best_rows_in_blocks(block):
    f, w = (
        jax.random.normal(jax.random.key(2), (6, 3)),
        jax.random.normal(jax.random.key(3), (13, 3)),
    )
    w = w.at[7].set(w[2])  # a tie goes to the earlier row
    index, values = top_rows(f, w, 11, k=4, block=block)
    logits = np.asarray(f @ w[:11].T)
    want = np.argsort(-logits, axis=1, kind="stable")[:, :4]
    assert_array_equal(index, want)
    assert_allclose(values, np.take_along_axis(logits, want, 1), atol=1e-5)
    assert_array_equal(top_rows(f, w, 2, k=4, block=block)[0][:, 2:], -1)


def test_fisher_is_the_mean_of_squared_gradients_per_example():
    x, y = jax.random.normal(jax.random.key(4), (6, 3)), jnp.arange(6) % 2
    params = {"w": jax.random.normal(jax.random.key(5), (2, 3))}

    def loss(params, example):
        x, y = example
        return cross_entropy((params["w"] @ x)[None], y[None])[0]

    slopes = [jax.grad(loss)(params, (x[n], y[n]))["w"] for n in range(6)]
    want = np.mean(np.square(slopes), axis=0)
    for at_once in (1, 4):
        found = ewc.diagonal_fisher(loss, params, (x, y), at_once=at_once)
        assert_allclose(found["w"], want, rtol=1e-5)
    fisher = {"w": jnp.asarray(want)}
    assert ewc.penalty(params, params, fisher) == 0
    moved = jax.tree.map(lambda p: p + 2.0, params)
    slope = jax.grad(ewc.penalty)(moved, params, fisher)
    assert_allclose(slope["w"], 2.0 * want, rtol=1e-5)
    assert_allclose(ewc.accumulate(fisher, fisher, decay=0.5)["w"], 1.5 * want, rtol=1e-6)


def test_topics_are_found_and_named():
    centres = 3.0 * jax.random.normal(jax.random.key(6), (4, 12))
    own = jnp.arange(80) % 4
    x = centres[own] + 0.2 * jax.random.normal(jax.random.key(7), (80, 12))
    found = topics.spherical_topics(jax.random.key(8), x, 4, width=6)
    pairs = np.unique(np.stack([own, found], 1), axis=0)
    assert len(pairs) == 4
    means = topics.topic_embeddings(x, jnp.where(found == 0, -1, found), 4)
    assert_array_equal(means[0], 0.0)
    assert_allclose(means[1], x[np.asarray(found) == 1].mean(0), atol=1e-5)
    # Word 0 stands everywhere, word c + 1 in topic c alone.
    ids = jnp.stack([jnp.zeros(80, jnp.int32), found + 1, jnp.full(80, -1)], 1)
    counts = topics.word_counts(ids, found, jnp.zeros((4, 6)))
    assert_array_equal(counts[:, 0], jnp.full(4, 20.0))
    weights = topics.class_tf_idf(counts)
    assert_array_equal(weights.argmax(1), jnp.arange(1, 5))
    assert_allclose(weights[0, 1], 0.5 * np.log1p(40 / 20), rtol=1e-6)
    assert_array_equal(weights[:, 5], 0.0)
