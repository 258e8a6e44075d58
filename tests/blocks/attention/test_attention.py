"""Attention of several heads: numbers worked by hand, masks, shared keys, JAX's own as a peer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.attention.attention import attend, causal, visible


def _qkv(seed, batch=(2,), queries=3, keys=5, heads=2, width=4, values=6):
    k = jax.random.split(jax.random.key(seed), 3)
    return (
        jax.random.normal(k[0], (*batch, queries, heads, width)),
        jax.random.normal(k[1], (*batch, keys, heads, width)),
        jax.random.normal(k[2], (*batch, keys, heads, values)),
    )


def test_by_hand():
    # One head: logits 2 * [ln 2, 0] / 2, so weights 2/3 and 1/3.
    q = jnp.array([2.0, 0.0]).reshape(1, 1, 1, 2)
    k = jnp.array([[np.log(2.0), 5.0], [0.0, 7.0]]).reshape(1, 2, 1, 2)
    v = jnp.array([[3.0], [9.0]]).reshape(1, 2, 1, 1)
    assert_allclose(attend(q, k, v, scale=0.5).ravel(), [5.0], rtol=1e-6)
    bias = jnp.array([0.0, np.log(2.0)]).reshape(1, 1, 1, 2)
    assert_allclose(attend(q, k, v, scale=0.5, bias=bias).ravel(), [6.0], rtol=1e-6)
    where = jnp.array([False, True]).reshape(1, 1, 1, 2)
    assert_allclose(attend(q, k, v, scale=0.5, where=where).ravel(), [9.0])


@pytest.mark.parametrize(
    ("queries", "keys", "heads", "is_causal"),
    [(1, 1, 1, False), (4, 6, 3, False), (5, 5, 2, True), (1, 7, 2, True)],
)
def test_equals_the_one_in_jax(queries, keys, heads, is_causal):
    q, k, v = _qkv(queries, (2,), queries, keys, heads, 4, 4)
    bias = jax.random.normal(jax.random.key(10), (1, heads, queries, keys))
    where = jax.random.bernoulli(jax.random.key(11), 0.6, (2, 1, queries, keys))
    where = where.at[..., 0].set(True)
    if is_causal:
        where = where & causal(queries, keys)

    @jax.jit
    def both(q, k, v):
        want = jax.nn.dot_product_attention(q, k, v, bias, where, scale=0.3)
        return attend(q, k, v, bias=bias, where=where, scale=0.3), want

    got, want = both(q, k, v)
    assert_allclose(got, want, atol=2e-6)


def test_masking_is_deletion():
    q, k, v = _qkv(0)
    keep = np.array([True, False, True, True, False])
    mask = jnp.asarray(np.tile(keep, (2, 1)))
    got = attend(q, k, v, where=visible(mask))
    assert_allclose(got, attend(q, k[:, keep], v[:, keep]), atol=1e-6)
    # Whatever stands at a masked key, even infinities among the keys' logits.
    other = attend(q, k.at[:, 1].set(1e30), v, where=visible(mask))
    assert_allclose(other, got, atol=1e-6)


def test_a_query_without_keys_gets_zeros_and_finite_gradients():
    q, k, v = _qkv(1)
    mask = jnp.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]])

    def loss(q, k, v):
        return (attend(q, k, v, where=visible(mask)) ** 2).sum()

    out = attend(q, k, v, where=visible(mask))
    assert_allclose(out[1], 0.0)
    grads = jax.grad(loss, argnums=(0, 1, 2))(q, k, v)
    for g in grads:
        assert bool(jnp.isfinite(g).all())
        assert_allclose(g[1], 0.0)
        assert float(jnp.abs(g[0]).max()) > 0


def test_order_of_keys_does_not_matter_and_that_of_queries_is_kept():
    q, k, v = _qkv(2)
    order = jnp.array([3, 1, 4, 0, 2])
    out = attend(q, k, v)
    assert_allclose(attend(q, k[:, order], v[:, order]), out, atol=1e-6)
    assert_allclose(attend(q[:, ::-1], k, v), out[:, ::-1], atol=1e-6)


def test_queries_that_share_keys_equal_repeated_keys():
    q, k, v = _qkv(3, (2,), queries=4)
    repeated = [jnp.repeat(x, 4, axis=0) for x in (k, v)]
    want = attend(q.reshape(8, 1, 2, 4), *repeated)
    assert_allclose(attend(q, k, v), want.reshape(2, 4, 2, 6), atol=1e-6)


def test_leading_axes_equal_vmap():
    q, k, v = _qkv(4, (2, 3))
    where = jax.random.bernoulli(jax.random.key(5), 0.7, (2, 3, 1, 1, 5))
    got = attend(q, k, v, where=where)
    want = jax.vmap(lambda *x: attend(*x[:3], where=x[3]))(q, k, v, where)
    assert_allclose(got, want, atol=1e-6)


def test_causal_mask():
    assert_allclose(causal(3)[0, 0], np.tril(np.ones((3, 3))))
    assert_allclose(causal(2, 3)[0, 0], [[1, 0, 0], [1, 1, 0]])


def test_half_precision_keeps_a_float32_softmax():
    q, k, v = (x.astype(jnp.bfloat16) for x in _qkv(6, keys=300))
    out = attend(q, k, v)
    assert out.dtype == jnp.bfloat16
    want = attend(*(x.astype(jnp.float32) for x in (q, k, v)))
    assert_allclose(out.astype(jnp.float32), want, atol=0.01)
    # Logits that half precision cannot tell apart: 256 + 0 and 256 + 1.
    q, k = jnp.ones((1, 1, 1, 2), jnp.bfloat16), jnp.array([[256, 0], [256, 1]], jnp.bfloat16)
    v = jnp.array([[0.0], [1.0]], jnp.bfloat16).reshape(1, 2, 1, 1)
    share = attend(q, k.reshape(1, 2, 1, 2), v)
    assert_allclose(float(share.ravel()[0]), 1 / (1 + np.exp(-1)), atol=0.004)


def test_dropout_of_weights_is_unbiased_and_needs_a_key(getkey):
    q, k, v = _qkv(7)
    want = attend(q, k, v)
    assert_allclose(attend(q, k, v, rate=0.5), want)
    keys = jax.random.split(getkey(), 1000)
    drawn = jax.vmap(lambda key: attend(q, k, v, rate=0.5, rng=key))(keys)
    assert float(jnp.abs(drawn[0] - want).max()) > 0.1
    assert_allclose(drawn.mean(0), want, atol=0.17)


def test_a_mask_without_all_axes_is_refused():
    q, k, v = _qkv(8)
    with pytest.raises(ValueError, match="where must have the 4 axes"):
        attend(q, k, v, where=jnp.ones((2, 5), bool))
    with pytest.raises(ValueError, match="bias must have the 4 axes"):
        attend(q, k, v, bias=jnp.ones((3, 5)))
