"""The Transformer layer: masks, norms on both sides, step by step, relations between tokens."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.attention.attention import causal, visible
from mmjax.layers.activations import ACTIVATIONS
from mmjax.layers.attention import Attention
from mmjax.layers.feed_forward import FeedForward
from mmjax.layers.norms import norm
from mmjax.layers.stack import Stack, StackConfig
from mmjax.layers.transformer import Block, BlockConfig

WIDTH = 6
POST = BlockConfig(width=WIDTH, heads=2, hidden=9, pre_norm=False)
PRE = BlockConfig(
    width=WIDTH, heads=2, head_width=5, hidden=9, norm="rms", bias=False, scaled=False, gated=True
)
CROSS = BlockConfig(width=WIDTH, heads=3, hidden=7, cross=True)
DECODER = StackConfig(CROSS, 2, causal=True, final_norm=True, buckets=8, max_distance=20)


def _x(seed=0, batch=2, length=5, width=WIDTH):
    return jax.random.normal(jax.random.key(seed), (batch, length, width))


def _layer_norm(x, p, eps):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * p["scale"] + p["bias"]


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _attention(p, x, y, where=None, bias=0.0, values=0.0):
    q, k, v = (
        np.einsum("bsm,mhd->bshd", z, p[n]["kernel"]) + p[n].get("bias", 0.0)
        for n, z in (("query", x), ("key", y), ("value", y))
    )
    logits = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1]) + bias
    if where is not None:
        logits = np.where(where, logits, -np.inf)
    mixed = np.einsum("bhqk,bkhd->bqhd", _softmax(logits), v + values)
    return np.einsum("bqhd,hdm->bqm", mixed, p["out"]["kernel"]) + p["out"].get("bias", 0.0)


def test_post_norm_layer_equals_its_equations(drawn):
    x, block = _x(), Block(POST)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    variables = drawn(block, x)
    p, z = jax.tree.map(np.asarray, variables["params"]), np.asarray(x)
    a = z + _attention(p["attention"], z, z, where=mask[:, None, None])
    a = _layer_norm(a, p["attention_norm"], 1e-5)
    f = p["feed_forward"]
    hidden = ACTIVATIONS["gelu"](jnp.array(a @ f["in"]["kernel"] + f["in"]["bias"]))
    want = a + np.asarray(hidden) @ f["out"]["kernel"] + f["out"]["bias"]
    want = _layer_norm(want, p["feed_forward_norm"], 1e-5)
    got = jax.jit(block.apply)(variables, x, where=visible(jnp.array(mask)))
    assert_allclose(got, want, atol=1e-5)


def test_pre_norm_layer_without_any_map_is_the_identity(drawn):
    x, block = _x(), Block(PRE)
    variables = jax.tree.map(jnp.zeros_like, drawn(block, x))
    assert_array_equal(jax.jit(block.apply)(variables, x), x)


def test_options_decide_on_the_parameters():
    shapes = partial(jax.eval_shape, Block(PRE).init, jax.random.key(0))
    paths = {jax.tree_util.keystr(k) for k, _ in jax.tree_util.tree_leaves_with_path(shapes(_x()))}
    assert len(paths) == 9
    assert not any("bias" in path for path in paths)
    assert any("gate" in path for path in paths)
    plain = BlockConfig(width=WIDTH, heads=2, hidden=9, affine_norm=False, bias=False)
    found = jax.eval_shape(Block(plain).init, jax.random.key(0), _x())["params"]
    assert set(found) == {"attention", "feed_forward"}
    assert found["attention"]["query"]["kernel"].shape == (WIDTH, 2, 3)


def test_unscaled_queries_start_smaller():
    init = BlockConfig(width=1, heads=1, hidden=1).kernel_init
    x = jnp.zeros((1, 1, 256))
    for scaled in (True, False):
        attention = Attention(256, 4, 16, scaled=scaled, kernel_init=init)
        p = jax.jit(attention.init)(jax.random.key(0), x)["params"]
        start = {name: float(p[name]["kernel"].std()) for name in ("query", "key", "value", "out")}
        want = {"query": 256**-0.5, "key": 256**-0.5, "value": 256**-0.5, "out": 64**-0.5}
        if not scaled:
            want["query"] /= 16**0.5
        assert start == pytest.approx(want, rel=0.02)


def test_a_relation_between_tokens(drawn):
    """MMGRec's attention: a relation in logits and values, post-norm, no biases, wide heads."""
    config = BlockConfig(
        width=WIDTH, heads=2, head_width=7, hidden=6, pre_norm=False, bias=False, activation="relu"
    )
    x, block = _x(1), Block(config)
    variables = drawn(block, x)
    draw = np.random.default_rng(1)
    u_q, u_k, u_v = draw.normal(size=(3, WIDTH, 7)).astype(np.float32)
    z = np.asarray(x)
    bias = (0.7 * np.einsum("bqd,bkd->bqk", z @ u_q, z @ u_k) / np.sqrt(7))[:, None]
    values = 0.3 * (z @ u_v)[:, :, None]
    p = jax.tree.map(np.asarray, variables["params"])
    a = z + _attention(p["attention"], z, z, bias=bias, values=values)
    a = _layer_norm(a, p["attention_norm"], 1e-5)
    f = np.maximum(a @ p["feed_forward"]["in"]["kernel"], 0) @ p["feed_forward"]["out"]["kernel"]
    want = _layer_norm(a + f, p["feed_forward_norm"], 1e-5)
    relation = {"bias": jnp.array(bias), "added_values": jnp.array(values)}
    got = jax.jit(block.apply)(variables, x, **relation)
    assert_allclose(got, want, atol=2e-5)


@pytest.mark.parametrize("config", [POST, PRE], ids=["post", "pre"])
def test_content_of_padding_changes_nothing(config, drawn):
    x, stack = _x(2), Stack(StackConfig(config, 2))
    mask = jnp.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    variables = drawn(stack, x)
    run = jax.jit(stack.apply)
    out = run(variables, x, mask)
    other = run(variables, jnp.where(mask[..., None] == 1, x, 50.0), mask)
    kept = np.array([0, 1, 3])
    assert_array_equal(out.output[0, kept], other.output[0, kept])
    # Deleting the padding is the same.
    short = run(variables, x[:, kept])
    assert_allclose(out.output[0, kept], short.output[0], atol=1e-5)
    assert bool(jnp.isfinite(out.output).all())


def test_causality_by_exact_zero_gradients(drawn):
    x, memory = _x(3), _x(4, length=3)
    stack = Stack(DECODER)
    variables = drawn(stack, x, memory=memory)

    @jax.jit
    def jacobian(x):
        return jax.jacobian(lambda x: stack.apply(variables, x, memory=memory[:1]).output)(x)

    size = np.abs(np.asarray(jacobian(x[:1]))[0, :, :, 0]).max((1, 3))
    assert_array_equal(np.triu(size, 1), 0.0)
    assert (size[np.tril_indices(5)] > 0).all()


def test_hidden_states_are_those_of_shorter_stacks(drawn):
    x = _x(5)
    config = StackConfig(PRE, 3, final_norm=True)
    variables = drawn(Stack(config), x)
    states = jax.jit(Stack(config).apply)(variables, x)
    assert len(states.hidden) == 4
    assert_array_equal(states.hidden[0], x)
    first = jax.jit(Stack(StackConfig(PRE, 1)).apply)(
        {"params": {"layer_0": variables["params"]["layer_0"]}}, x
    )
    assert_allclose(states.hidden[1], first.output, atol=1e-5)
    weights = {"params": variables["params"]["final_norm"]}
    final = norm("rms", PRE.eps).apply(weights, states.hidden[3])
    assert_allclose(states.output, final, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_step_by_step_equals_the_whole(masked, drawn):
    x, memory = _x(6, length=4), _x(7, length=3)
    mask = jnp.array([[1, 1, 0], [1, 0, 0]]) if masked else None
    stack = Stack(DECODER)
    variables = drawn(stack, x, memory=memory)
    run = jax.jit(partial(stack.apply, memory=memory, memory_mask=mask))
    whole = run(variables, x).output
    start = jax.jit(partial(stack.apply, beams=3, length=4, method="start"))
    fixed, cache = start(variables, memory, mask)
    chex.assert_tree_shape_prefix(cache, (2, 3, 4))
    chex.assert_shape([fixed.keys_values[0].key, fixed.keys_values[1].value], (2, 3, 3, 2))

    step = jax.jit(lambda *args: stack.apply(variables, args[0], fixed, *args[1:], method="step"))
    for t in range(4):
        out, cache = step(cache, jnp.repeat(x[:, t : t + 1], 3, 1), jnp.int32(t))
        assert_allclose(out, np.repeat(whole[:, t : t + 1], 3, 1), atol=1e-5)


def test_dropout_in_training_only(getkey, drawn):
    config = BlockConfig(
        width=WIDTH, heads=2, hidden=9, dropout=0.3, attention_dropout=0.2, hidden_dropout=0.1
    )
    x, block = _x(8), Block(config)
    variables = drawn(block, x)
    calm = jax.jit(block.apply)(variables, x)
    plain = Block(BlockConfig(width=WIDTH, heads=2, hidden=9))
    assert_array_equal(calm, jax.jit(plain.apply)(variables, x))
    run = jax.jit(lambda key: block.apply(variables, x, train=True, rngs={"dropout": key}))
    one, other = run(getkey()), run(getkey())
    assert float(jnp.abs(one - other).max()) > 0.01
    assert float(jnp.abs(one - calm).max()) > 0.01


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "bfloat16"])
def test_half_precision_keeps_float32_parameters(dtype):
    x = _x(9)
    half = BlockConfig(width=WIDTH, heads=2, hidden=9, dtype=dtype)
    variables = jax.jit(Block(half).init)(jax.random.key(0), x)
    chex.assert_tree_all_finite(variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    out = jax.jit(Block(half).apply)(variables, x.astype(jnp.bfloat16))
    want = jax.jit(Block(BlockConfig(width=WIDTH, heads=2, hidden=9)).apply)(variables, x)
    assert out.dtype == jnp.bfloat16
    assert_allclose(out.astype(jnp.float32), want, atol=0.1)


def test_norms_by_hand():
    x = jnp.array([[1.0, 2.0, 6.0]])
    rms = norm("rms", 0.0).apply({"params": {"scale": jnp.array([1.0, 2.0, 1.0])}}, x)
    assert_allclose(rms, np.array([[1.0, 4.0, 6.0]]) / np.sqrt(41 / 3), rtol=1e-6)
    layer = norm("layer", 0.0, affine=False).apply({}, x)
    assert_allclose(layer, np.array([[-2.0, -1.0, 3.0]]) / np.sqrt(14 / 3), rtol=1e-6)
    # A large mean does not swallow the variance, nor an eps of 1e-12.
    assert_allclose(norm("layer", 1e-12, affine=False).apply({}, x + 4096), layer, rtol=1e-4)


def test_activations_by_hand():
    one = jnp.float32(1.0)
    want = {
        "relu": 1.0,
        "leaky_relu": 1.0,
        "gelu": 0.841345,
        "gelu_new": 0.841192,
        "gelu_pytorch_tanh": 0.841192,
        "quick_gelu": 0.845796,
        "silu": 0.731059,
        "sigmoid": 0.731059,
        "tanh": 0.761594,
    }
    assert {name: pytest.approx(float(f(one)), abs=2e-6) for name, f in ACTIVATIONS.items()} == want
    assert float(ACTIVATIONS["leaky_relu"](-one)) == pytest.approx(-0.01)
    x = jnp.array([[1.0, -2.0]])
    gated = FeedForward(2, "relu", gated=True, bias=False)
    eye = jnp.eye(2)
    weights = {"gate": {"kernel": 3 * eye}, "in": {"kernel": eye}, "out": {"kernel": eye}}
    assert_allclose(gated.apply({"params": weights}, x), [[3.0, 0.0]])


def test_what_does_not_fit_is_refused(drawn):
    with pytest.raises(ValueError, match="width 6 is no multiple of 4 heads"):
        BlockConfig(width=6, heads=4, hidden=8)
    with pytest.raises(ValueError, match="needs memory="):
        Block(CROSS).init(jax.random.key(0), _x())
    with pytest.raises(ValueError, match="without cross=True"):
        Block(POST).init(jax.random.key(0), _x(), memory=_x())
    plain = Stack(StackConfig(CROSS, 1))
    variables = drawn(plain, _x(), memory=_x())
    fixed, cache = plain.apply(variables, _x(), beams=1, length=2, method="start")
    with pytest.raises(ValueError, match="only causal layers"):
        plain.apply(variables, cache, fixed, _x(length=1), 0, method="step")
    stack = Stack(StackConfig(CROSS, 1, causal=True))
    with pytest.raises(ValueError, match="position 2 is outside a cache of 2"):
        stack.apply(variables, cache, fixed, _x(length=1), 2, method="step")
    assert causal(1).shape == (1, 1, 1, 1)
