"""The encoder-decoder: steps equal teacher forcing, causality, padding, published sizes."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig, shift_right

SMALL = Seq2SeqConfig(
    vocabulary=13, width=8, layers=2, decoder_layers=2, heads=3, head_width=4, hidden=10, start_id=3
)
SEPARATE = dataclasses.replace(SMALL, tied=False, gated=True, activation="gelu_new")
MASK = jnp.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
INPUTS = jnp.array([[5, 0, 12, 7, 1, 2], [3, 3, 8, 11, 6, 4]])
TARGETS = jnp.array([[2, 9, 0, 4], [10, 1, 1, 7]])


@pytest.fixture(scope="module")
def weights(drawn):
    """Variables of a configuration, every entry drawn."""
    return functools.cache(lambda config: drawn(Seq2Seq(config), INPUTS, TARGETS))


@pytest.fixture(scope="module")
def call():
    """Compiled method of a configuration's model."""

    @functools.cache
    def compiled(config, method="__call__", **static):
        return jax.jit(functools.partial(Seq2Seq(config).apply, method=method, **static))

    return compiled


@pytest.mark.parametrize("config", [SMALL, SEPARATE], ids=["tied", "separate"])
def test_steps_equal_teacher_forcing(config, weights, call):
    variables, whole = weights(config), call(config)
    want = [whole(variables, INPUTS, t, MASK) for t in (TARGETS, TARGETS[::-1])]
    chex.assert_shape(want, (2, 4, 13))
    memory = call(config, "encode")(variables, INPUTS, MASK)
    fixed, cache = call(config, "start", beams=2, length=4)(variables, memory, MASK)
    chex.assert_tree_shape_prefix(cache, (2, 2, 4, 3, 4))
    chex.assert_tree_shape_prefix(fixed.keys_values, (2, 6, 3, 4))

    step, before = call(config, "step"), shift_right(TARGETS, config.start_id)
    for t in range(4):
        # Two beams that part ways at once: the second reads the other row's tokens.
        tokens = jnp.stack([before[:, t], before[::-1, t]], 1)
        logits, cache = step(variables, cache, fixed, tokens, jnp.int32(t))
        for beam in (0, 1):
            assert_allclose(logits[:, beam], want[beam][:, t], atol=1e-5)
    assert step._cache_size() == 1


def test_a_reordered_cache_goes_on_from_the_parents(weights, call):
    variables, step = weights(SMALL), call(SMALL, "step")
    memory = call(SMALL, "encode")(variables, INPUTS, None)
    fixed, cache = call(SMALL, "start", beams=1, length=4)(variables, memory, None)
    _, cache = step(variables, cache, fixed, jnp.full((2, 1), 3), jnp.int32(0))
    # One beam becomes two, which are then left for one another.
    cache = jax.tree.map(lambda x: jnp.repeat(x, 2, 1), cache)
    _, cache = step(variables, cache, fixed, TARGETS[:, :2], jnp.int32(1))
    parents = np.array([[1, 0], [1, 1]])
    cache = jax.tree.map(lambda x: x[jnp.arange(2)[:, None], parents], cache)
    logits, _ = step(variables, cache, fixed, jnp.zeros((2, 2), jnp.int32), jnp.int32(2))
    for beam in (0, 1):
        first = TARGETS[jnp.arange(2), parents[:, beam]]
        path = jnp.pad(first[:, None], ((0, 0), (0, 3)))
        want = call(SMALL)(variables, INPUTS, path, None)[:, 2]
        assert_allclose(logits[:, beam], want, atol=1e-5)


def test_no_logit_depends_on_its_target_or_later_ones(weights, call):
    variables = weights(SMALL)
    memory = call(SMALL, "encode")(variables, INPUTS, None)[:1]
    x = jax.random.normal(jax.random.key(4), (1, 4, 8))

    @jax.jit
    def jacobian(x):
        return jax.jacobian(lambda x: Seq2Seq(SMALL).apply(variables, x, memory, method="decode"))(
            x
        )

    size = np.abs(np.asarray(jacobian(x))[0, :, :, 0]).max((1, 3))
    assert_array_equal(np.triu(size, 1), 0.0)
    assert (size[np.tril_indices(4)] > 0).all()
    # Tokens are moved behind the start token, so that their own logits do not see them.
    run = functools.partial(call(SMALL), variables, INPUTS, mask=MASK)
    other, same = (run(TARGETS.at[:, 2].set(token)) for token in (0, 1))
    assert_array_equal(other[:, :3], same[:, :3])
    assert float(jnp.abs(other[:, 3] - same[:, 3]).max()) > 0


def test_padding_changes_nothing(weights, call):
    run = functools.partial(call(SMALL), weights(SMALL))
    want = run(INPUTS, TARGETS, MASK)
    assert_array_equal(run(INPUTS.at[0, 4:].set(7), TARGETS, MASK), want)
    assert_allclose(run(INPUTS[:1, :4], TARGETS[:1], None)[0], want[0], atol=1e-5)
    nothing = run(INPUTS, TARGETS, MASK.at[0].set(0))
    assert bool(jnp.isfinite(nothing).all())
    assert_array_equal(nothing[1], want[1])


def test_vectors_may_stand_for_tokens(weights, call):
    variables = weights(SMALL)
    table = variables["params"]["embedding"]["embedding"]
    given = call(SMALL)(variables, table[INPUTS], table[shift_right(TARGETS, 3)], MASK)
    assert_allclose(given, call(SMALL)(variables, INPUTS, TARGETS, MASK), atol=1e-6)


def test_shift_right():
    assert_array_equal(shift_right(jnp.array([[5, 6, 7], [1, 2, 3]]), 9), [[9, 5, 6], [9, 1, 2]])


@pytest.mark.parametrize("tied", [True, False])
def test_logits_start_of_order_one(tied):
    config = Seq2SeqConfig(300, 64, layers=1, decoder_layers=1, hidden=128, tied=tied)
    model = Seq2Seq(config)
    tokens = jax.random.randint(jax.random.key(1), (2, 8), 0, 300)
    logits, variables = jax.jit(model.init_with_output)(jax.random.key(0), tokens, tokens)
    assert 0.5 < float(logits.std()) < 2.0
    assert_allclose(float(variables["params"]["embedding"]["embedding"].std()), 1.0, rtol=0.03)


@pytest.mark.parametrize(
    ("name", "sizes", "count"),
    [
        ("t5-small", (512, 6, 6, 8, 64, 2048), 60_506_624),
        ("t5-base", (768, 12, 12, 12, 64, 3072), 222_903_552),
    ],
)
def test_published_sizes(name, sizes, count):
    shapes = jax.eval_shape(
        Seq2Seq(Seq2SeqConfig(32_128, *sizes)).init, jax.random.key(0), INPUTS, TARGETS
    )
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count, name


def test_every_parameter_learns_and_dropout_draws(weights, getkey):
    @jax.jit
    def step(variables, key):
        def loss(variables):
            logits = Seq2Seq(SMALL).apply(
                variables, INPUTS, TARGETS, MASK, train=True, rngs={"dropout": key}
            )
            rows = jax.nn.log_softmax(logits).reshape(-1, 13)
            return -rows[jnp.arange(8), TARGETS.ravel()].mean()

        return jax.value_and_grad(loss)(variables)

    (first, grads), (second, _) = (step(weights(SMALL), getkey()) for _ in range(2))
    chex.assert_tree_all_finite(grads)
    assert float(first) != float(second)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert float(jnp.abs(g).max()) > 0, jax.tree_util.keystr(path)


def test_half_precision(weights, call):
    half = dataclasses.replace(SMALL, dtype="bfloat16")
    variables = jax.tree.map(lambda x: x / 2, weights(SMALL))
    want = call(SMALL)(variables, INPUTS, TARGETS, MASK)
    logits = call(half)(variables, INPUTS, TARGETS, MASK)
    assert logits.dtype == jnp.float32
    assert_allclose(logits, want, atol=0.02 * float(jnp.abs(want).max()))
    memory = call(half, "encode")(variables, INPUTS, None)
    _, cache = call(half, "start", beams=1, length=2)(variables, memory, None)
    assert {x.dtype for x in jax.tree.leaves((memory, cache))} == {jnp.dtype(jnp.bfloat16)}


def test_a_cache_that_is_too_short_is_refused(weights, call):
    variables = weights(SMALL)
    memory = jnp.zeros((2, 6, 8))
    fixed, cache = call(SMALL, "start", beams=1, length=2)(variables, memory, None)
    with pytest.raises(ValueError, match="position 2 is outside a cache of 2"):
        Seq2Seq(SMALL).apply(variables, cache, fixed, jnp.zeros((2, 1), int), 2, method="step")
