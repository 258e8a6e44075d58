"""Prefix keys and values: always seen, in any place, and nothing where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.attention.attention import visible
from mmjax.encoders.text.bert import Bert, BertConfig
from mmjax.layers.attention import Attention, KeysValues, with_prefix
from mmjax.layers.stack import Stack, StackConfig
from mmjax.layers.transformer import BlockConfig

BERT = Bert(BertConfig(vocabulary=11, width=8, layers=3, heads=2, hidden=12, positions=6))
IDS = jnp.array([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]])
MASK = IDS != 0


def _prefix(length, seed=0, batch=2):
    keys = jax.random.split(jax.random.key(seed))
    return KeysValues(*(jax.random.normal(k, (batch, length, 2, 4)) for k in keys))


@pytest.fixture(scope="module")
def attention(drawn):
    x = jax.random.normal(jax.random.key(1), (2, 5, 8))
    module = Attention(8, 2, 4)
    return module, drawn(module, x), x


def test_a_prefix_before_or_behind_the_tokens_is_the_same(attention):
    module, variables, x = attention
    prefix = _prefix(3)
    got = module.apply(variables, x, where=visible(MASK), prefix=prefix)
    own = module.apply(variables, x, method="project")
    behind = KeysValues(*(jnp.concatenate(pair, 1) for pair in zip(own, prefix, strict=True)))
    where = jnp.pad(visible(MASK), ((0, 0), (0, 0), (0, 0), (0, 3)), constant_values=True)
    want = module.apply(variables, x, behind, where=where, method="read")
    assert_allclose(got, want, atol=1e-5)


def test_no_prefix_is_nothing_and_padding_gets_nothing(attention):
    module, variables, x = attention
    plain = module.apply(variables, x, where=visible(MASK))
    assert_array_equal(module.apply(variables, x, where=visible(MASK), prefix=_prefix(0)), plain)
    prefix, other = _prefix(2), jnp.where(MASK[..., None], x, 50.0)
    got, same = (module.apply(variables, y, where=visible(MASK), prefix=prefix) for y in (x, other))
    assert_array_equal(got[0, :3], same[0, :3])
    assert np.abs(got - plain).max() > 0.01
    # Where all tokens are padding, the one prefix position is all there is.
    one = _prefix(1)
    alone = module.apply(variables, x, where=visible(0 * MASK), prefix=one)
    p = variables["params"]["out"]
    want = jnp.einsum("bshd,hdm->bsm", one.value, p["kernel"]) + p["bias"][None, None]
    assert_allclose(alone, jnp.broadcast_to(want, alone.shape), atol=1e-5)


def test_masks_and_biases_that_stand_for_all_keys():
    joined, bias, where = with_prefix(
        _prefix(2), _prefix(5), jnp.ones((1, 2, 5, 1)), jnp.zeros((2, 1, 1, 1), bool)
    )
    assert joined.key.shape == (2, 7, 2, 4)
    assert_array_equal(bias[0, 0, 0], [0, 0, 1, 1, 1, 1, 1])
    assert_array_equal(where[0, 0, 0], [True, True, False, False, False, False, False])


def test_a_stack_cut_in_two_is_the_whole(drawn):
    stack = Stack(StackConfig(BlockConfig(width=8, heads=2, hidden=12), 3, final_norm=True))
    x = jax.random.normal(jax.random.key(2), (2, 5, 8))
    variables = drawn(stack, x)
    whole = stack.apply(variables, x, MASK)
    first = stack.apply(variables, x, MASK, layers=(0, 1))
    second = stack.apply(variables, first.output, MASK, layers=(1, None))
    assert_array_equal(first.output, whole.hidden[1])
    assert_array_equal(second.output, whole.output)
    with pytest.raises(ValueError, match=r"layers 1 to 3 of 3 with prefixes in \[0\]"):
        stack.apply(variables, x, MASK, layers=(1, None), prefixes={0: _prefix(1)})


def test_prompts_leave_what_lies_before_their_layer_alone(drawn):
    variables = drawn(BERT, IDS)

    @jax.jit
    def run(variables, prefix):
        x = BERT.apply(variables, IDS, method="embed")
        return BERT.apply(variables, x, MASK, prefixes={1: prefix}, method="run")

    plain = jax.jit(BERT.apply)(variables, IDS).hidden
    without = run(variables, _prefix(0))
    prompted = run(variables, _prefix(3))
    for n in range(4):
        assert_allclose(without[n], plain[n], atol=1e-6)  # other programs round otherwise
    assert_allclose(prompted[1], plain[1], atol=1e-6)
    assert np.abs(prompted[2] - plain[2])[np.asarray(MASK)].max() > 1e-3
