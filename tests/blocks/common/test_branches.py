"""A chosen loss is that loss, with its gradient, and nothing of the others."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.blocks.common.branches import switched_loss

LOSSES = [
    lambda p, x: ((p["a"] * x).sum(), p["a"]),
    lambda p, x: ((p["a"] ** 2 * x).sum() + p["b"], 2 * p["a"]),
    lambda p, x: (jnp.sin(p["b"]) * x.sum(), p["b"] * jnp.ones(3)),
]
PARAMS = {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.array(0.7)}
X = jnp.array([0.3, 1.0, -4.0])


class TestSwitchedLoss(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_value_aux_and_gradient_are_those_of_the_chosen(self):
        chosen = self.variant(
            jax.value_and_grad(lambda p, i: switched_loss(i, LOSSES, p, X), has_aux=True)
        )
        for i, loss in enumerate(LOSSES):
            expected = jax.value_and_grad(loss, has_aux=True)(PARAMS, X)
            chex.assert_trees_all_close(chosen(PARAMS, i), expected, rtol=1e-6)
            value = switched_loss(jnp.array(i), LOSSES, PARAMS, X)
            chex.assert_trees_all_close(value, expected[0], rtol=1e-6)

    def test_what_is_done_to_the_value_reaches_the_gradient(self):
        def loss(p):
            value, aux = switched_loss(jnp.array(1), LOSSES, p, X)
            return value**2 + aux.sum()

        value = LOSSES[1](PARAMS, X)[0]
        plain = jax.grad(lambda p: LOSSES[1](p, X)[0])(PARAMS)
        expected = jax.tree.map(lambda g: 2 * value * g, plain)
        chex.assert_trees_all_close(jax.grad(loss)(PARAMS), expected, rtol=1e-6)

    def test_each_row_of_a_batch_of_choices_has_its_own(self):
        grad = jax.grad(lambda p, i: switched_loss(i, LOSSES, p, X)[0])
        found = jax.vmap(grad, (None, 0))(PARAMS, jnp.arange(3))
        for i, loss in enumerate(LOSSES):
            expected = jax.grad(lambda p, loss=loss: loss(p, X)[0])(PARAMS)
            chex.assert_trees_all_close(jax.tree.map(lambda g, i=i: g[i], found), expected)


def test_a_single_loss_is_itself():
    chex.assert_trees_all_equal(
        switched_loss(jnp.array(0), LOSSES[:1], PARAMS, X), LOSSES[0](PARAMS, X)
    )


@pytest.mark.parametrize("plain", [True, False])
def test_the_gradient_keeps_nothing_of_other_branches(plain):
    """What the docstring promises: without it the untaken branch's intermediates are outputs."""
    wide = jnp.ones((1, 50_000))

    def big(p, x):
        return jnp.tanh(p["b"] * wide).sum() * x.sum(), p["a"]

    losses = [lambda p, x: (p["b"] * x.sum(), p["a"]), big]

    def loss(p, i):
        if plain:
            return jax.lax.switch(i, losses, p, X)[0]
        return switched_loss(i, losses, p, X)[0]

    program = jax.make_jaxpr(jax.grad(loss))(PARAMS, 0)
    kept = max(
        (np.prod(v.aval.shape) for e in program.eqns if e.primitive.name == "cond"
         for v in e.outvars), default=0,
    )  # fmt: skip
    assert (kept >= 50_000) == plain
