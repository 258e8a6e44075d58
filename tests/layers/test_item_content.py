"""Projections of item features, with constant and with trained tables."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.layers.item_content import Content

FEATURES = {
    "text": jnp.arange(12.0).reshape(4, 3),
    "image": -jnp.arange(20.0).reshape(4, 5),
}


@pytest.mark.parametrize("trainable", [True, False])
def test_is_a_linear_map_of_each_table(trainable, getkey):
    layer = Content(2, trainable)
    variables = layer.init(getkey(), FEATURES)
    out: Any = layer.apply(variables, FEATURES)
    for name, x in FEATURES.items():
        w = variables["params"][f"project_{name}"]
        assert_allclose(out[name], x @ w["kernel"] + w["bias"][None], rtol=1e-5)


def test_trained_tables_start_at_the_features_and_then_replace_them(getkey):
    layer = Content(2)
    variables = layer.init(getkey(), FEATURES)
    assert_array_equal(variables["params"]["table_text"], FEATURES["text"])
    other = jax.tree.map(jnp.zeros_like, FEATURES)
    chex.assert_trees_all_equal(layer.apply(variables, other), layer.apply(variables, FEATURES))

    def image(variables) -> Any:
        out: Any = layer.apply(variables, FEATURES)
        return out["image"].sum()

    grads = jax.grad(image)(variables)["params"]
    assert np.abs(grads["table_image"]).min() > 0
    assert not np.asarray(grads["table_text"]).any()


def test_constant_tables_are_no_parameters(getkey):
    params = Content(2, trainable=False).init(getkey(), FEATURES)["params"]
    assert set(params) == {"project_text", "project_image"}


def test_half_precision_features_give_full_precision(getkey):
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), FEATURES)
    for trainable in (True, False):
        both = Content(2, trainable).init_with_output(getkey(), half)
        assert {x.dtype for x in jax.tree.leaves(both)} == {jnp.dtype("float32")}


def test_the_order_of_the_features_does_not_matter(getkey):
    key, turned = getkey(), dict(reversed(FEATURES.items()))
    one, other = (Content(2).init(jax.random.clone(key), x) for x in (FEATURES, turned))
    chex.assert_trees_all_equal(one, other)
