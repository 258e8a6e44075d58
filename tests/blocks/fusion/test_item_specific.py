"""Item-specific fusion against the weights of each item, made one by one."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.fusion.item_specific import (
    CP,
    Layer,
    cp_linear,
    cp_tensor,
    full_linear,
    item_linear,
    item_mlp,
    released_linear,
)

HAND = CP(
    rows=jnp.array([[1.0, 2.0], [3.0, 4.0]]),
    columns=jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]),
    modes=jnp.array([[1.0, -1.0], [2.0, 0.5]]),
)
S, H = jnp.array([1.0, 2.0]), jnp.array([1.0, -1.0])


def _factors(p, q, k, r, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = ((p, r), (r, q), (r, k))
    return CP(*(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)))


def _items(n, p, k, seed=0):
    one, two = jax.random.split(jax.random.key(100 + seed))
    return jax.random.normal(one, (n, p)), jax.random.normal(two, (n, k))


def _weights(s, layer, released=False):
    """The matrix of one item, by its definition in numpy."""
    static, dynamic = layer
    w = np.zeros(()) if static is None else np.asarray(static, np.float64)
    if isinstance(dynamic, CP):
        a, b, c = (np.asarray(x, np.float64) for x in dynamic)
        for k, value in enumerate(np.asarray(s)):
            slice_ = c[:, k].sum() * (a @ b) if released else a @ np.diag(c[:, k]) @ b
            w = w + value * slice_
    elif dynamic is not None:
        for value, slice_ in zip(np.asarray(s), np.asarray(dynamic, np.float64), strict=True):
            w = w + value * slice_
    return w


def _leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def test_hand_example():
    assert_allclose(HAND.modes @ S, [-1, 3])
    true = jnp.einsum("k,kpq->pq", S, cp_tensor(HAND))
    assert_allclose(true, [[-1, 6, 5], [-3, 12, 9]])
    assert_allclose(cp_linear(H, S, HAND), [2, -6, -4])
    assert_allclose(full_linear(H, S, cp_tensor(HAND)), [2, -6, -4])
    released = jax.vmap(lambda h: released_linear(h, S, HAND))(jnp.eye(2))
    assert_allclose(released, [[2, 4, 6], [6, 8, 14]])
    assert_allclose(released_linear(H, S, HAND), [-4, -4, -8])


@pytest.mark.parametrize("form", ["static", "cp", "released", "full", "cp alone", "full alone"])
@pytest.mark.parametrize("n, p, q, k, r", [(1, 1, 1, 1, 1), (4, 5, 3, 2, 6)])
def test_every_form_is_the_product_with_the_weights_of_each_item(form, n, p, q, k, r):
    factors = _factors(p, q, k, r)
    static = None if "alone" in form else jax.random.normal(jax.random.key(7), (p, q))
    dynamic = None if form == "static" else cp_tensor(factors) if "full" in form else factors
    layer, released = Layer(static, dynamic), form == "released"
    h, s = _items(n, p, k)

    def one(h, s):
        return item_linear(h, s, layer, released=released)

    batched = item_linear(h, s, layer, released=released)
    expected = [np.asarray(h[i]) @ _weights(s[i], layer, released) for i in range(n)]
    assert_allclose(batched, expected, rtol=1e-4, atol=1e-4)
    assert_allclose(jax.vmap(one)(h, s), batched, rtol=1e-4, atol=1e-5)
    assert_allclose(one(h[-1], s[-1]), batched[-1], rtol=1e-4, atol=1e-5)


def test_vmapped_form_makes_no_weights_per_item():
    """1,000 items would need 1,000 x 64 x 48 numbers, 12 MB."""
    layer = Layer(jnp.ones((64, 48)), _factors(64, 48, 5, 16))
    full = Layer(jnp.ones((64, 48)), cp_tensor(layer.dynamic))
    h, s = _items(1000, 64, 5)
    for weights in (layer, full):
        mapped = jax.jit(jax.vmap(item_linear, (0, 0, None))).lower(h, s, weights).compile()
        assert mapped.memory_analysis().temp_size_in_bytes < 3e6


def test_factored_equals_full():
    factors = _factors(11, 7, 5, 16)
    h, s = _items(9, 11, 5)
    assert_allclose(
        cp_linear(h, s, factors), full_linear(h, s, cp_tensor(factors)), rtol=1e-5, atol=2e-5
    )


def test_enough_rank_represents_any_tensor():
    """Slice by slice, the singular value decomposition; R = k * min(p, q)."""
    k, p, q = 3, 4, 6
    tensor = np.random.default_rng(0).normal(size=(k, p, q))
    u, d, v = np.linalg.svd(tensor, full_matrices=False)
    factors = CP(
        jnp.asarray(np.concatenate(list(u), 1), jnp.float32),
        jnp.asarray(np.concatenate(list(d[:, :, None] * v)), jnp.float32),
        jnp.asarray(np.repeat(np.eye(k), p, 0), jnp.float32),
    )
    h, s = _items(8, p, k)
    assert factors.rows.shape == (p, k * min(p, q))
    assert_allclose(cp_tensor(factors), tensor, atol=1e-5)
    expected = full_linear(h, s, jnp.asarray(tensor, jnp.float32))
    assert_allclose(cp_linear(h, s, factors), expected, atol=2e-5)


@pytest.mark.parametrize("how", ["T = 0", "C = 0", "s = 0", "no T"])
def test_static_limit_is_a_plain_perceptron(how):
    x, s = _items(6, 5, 2)
    widths, keys = (5, 4, 3), jax.random.split(jax.random.key(1), 2)
    statics = [jax.random.normal(k, widths[n : n + 2]) for n, k in enumerate(keys)]
    factors = [_factors(*widths[n : n + 2], 2, 3, n) for n in range(2)]
    if how == "T = 0":
        dynamics = [0 * cp_tensor(f) for f in factors]
    elif how == "C = 0":
        dynamics = [f._replace(modes=0 * f.modes) for f in factors]
    else:
        dynamics = factors if how == "s = 0" else [None, None]
    s = 0 * s if how == "s = 0" else s
    layers = [Layer(*parts) for parts in zip(statics, dynamics, strict=True)]
    expected = _leaky(np.asarray(x @ statics[0])) @ np.asarray(statics[1])
    assert_allclose(item_mlp(x, s, layers), expected, rtol=1e-4, atol=1e-5)
    if how != "s = 0":
        assert_array_equal(item_mlp(x, s + 1, layers), item_mlp(x, s, layers))


def test_permuting_the_modes_matters_to_the_true_form_alone():
    h, s = _items(6, 5, 3)
    factors = _factors(5, 4, 3, 7)
    turned = factors._replace(modes=factors.modes[::-1])
    assert_allclose(released_linear(h, s, turned), released_linear(h, s, factors), rtol=1e-4)
    assert not np.allclose(cp_linear(h, s, turned), cp_linear(h, s, factors), atol=0.1)


def test_linear_in_the_meta_information():
    layer = Layer(jax.random.normal(jax.random.key(2), (5, 4)), _factors(5, 4, 3, 7))
    h, one = _items(6, 5, 3)
    two = _items(6, 5, 3, seed=1)[1]
    for released in (False, True):

        def change(s, released=released):
            with_s, without = (item_linear(h, x, layer, released=released) for x in (s, 0 * s))
            return with_s - without

        assert_allclose(change(one + two), change(one) + change(two), rtol=1e-4, atol=1e-4)


def _network():
    widths = (6, 8, 8, 3)
    return [
        Layer(jax.random.normal(jax.random.key(n), widths[n : n + 2]), _factors(*pair, 4, 5, n))
        for n, pair in enumerate(zip(widths, widths[1:], strict=False))
    ]


def _extract(x):
    return jnp.tanh(x @ jax.random.normal(jax.random.key(9), (6, 4)))


def test_equal_content_gives_equal_vectors_and_a_change_stays_with_its_item():
    x = _items(5, 6, 1)[0].at[1].set(_items(5, 6, 1)[0][0])
    layers = _network()
    run = jax.jit(lambda x: item_mlp(x, _extract(x), layers))
    before = run(x)
    assert_array_equal(before[0], before[1])
    changed = x.at[3, :2].add(1.0)
    after = run(changed)
    same = np.arange(5) != 3
    assert_array_equal(after[same], before[same])
    assert not np.allclose(after[3], before[3], atol=0.1)


def test_a_change_of_one_modality_changes_the_weights_of_all_layers():
    x = _items(1, 6, 1)[0][0]
    for layer in _network():
        before, after = (_weights(_extract(y), layer) for y in (x, x.at[:2].add(1.0)))
        assert (np.abs(after - before) > 1e-3).mean() > 0.9


@pytest.mark.parametrize("released", [False, True])
def test_gradients_by_finite_differences(released):
    factors = _factors(3, 2, 2, 2)
    h, s = _items(2, 3, 2)
    layer = Layer(jnp.ones((3, 2)), factors)
    run = jax.jit(lambda h, s, layer: item_linear(h, s, layer, released=released))
    check_grads(run, (h, s, layer), 1, ["rev"], atol=1e-2, rtol=1e-2)


def test_half_precision_keeps_its_type():
    layer = jax.tree.map(lambda x: x.astype(jnp.bfloat16), Layer(jnp.ones((2, 3)), HAND))
    y = item_mlp(H.astype(jnp.bfloat16), S.astype(jnp.bfloat16), [layer])
    chex.assert_type(y, jnp.bfloat16)
    assert_allclose(np.asarray(y, np.float32), [2, -6, -4])


def test_a_layer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="neither a static nor a dynamic part"):
        item_linear(H, S, Layer(None, None))
