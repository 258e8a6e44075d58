"""A generator of a few weights, which the tests of MMGRec share with what they compile."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.models.generative import mmgrec
from mmjax.models.generative.mmgrec.config import GeneratorConfig

N_USERS, N_ITEMS, WIDTH = 4, 11, 8
SIZES = (4, 5)
SMALL = GeneratorConfig(
    layers=1, decoder_layers=1, heads=2, head_width=6, hidden=5, gate_hidden=3, dropout=0.0
)
VARIANTS = ({}, {"shared_vocab": True})
KNOWN = np.array([[4, 7, 1, 9], [3, 8, -1, -1], [2, -1, -1, -1], [-1, -1, -1, -1]])


@functools.cache
def inputs():
    """Vectors and ids of all items."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.stack(np.unravel_index(np.arange(20), SIZES), 1))[:N_ITEMS]
    return mmgrec.Inputs(
        jnp.asarray(rng.normal(size=(N_ITEMS, WIDTH)), jnp.float32),
        jnp.asarray(rng.normal(size=(N_USERS, WIDTH)), jnp.float32),
        jnp.asarray(codes, jnp.int32),
    )


@functools.cache
def made(**changes):
    """Model, objective and random parameters; the same ones wherever the same are asked for."""
    config = dataclasses.replace(SMALL, **changes)
    objective = mmgrec.build(config, inputs(), SIZES, KNOWN).objective
    shapes = jax.eval_shape(objective.init, jax.random.key(0))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype), shapes)
    return mmgrec.generator(config, SIZES, WIDTH), objective, params


USER = jnp.array([0, 2, 3])
HISTORY = jnp.asarray(KNOWN, jnp.int32)[USER]
ITEMS = jnp.array([[0, 3], [10, 5], [6, -1]])
BATCH = {"user": USER, "history": HISTORY, "items": ITEMS, "where": jnp.array([True, True, True])}


def source(user=USER, history=HISTORY):
    """Arguments of the encoder."""
    return mmgrec.encoder_inputs(inputs(), user, history)


def targets(items=ITEMS):
    """Ids of items."""
    return inputs().codes[jnp.maximum(items, 0)]


LOGITS = jax.jit(
    lambda model, params, source, codes: model.apply({"params": params}, *source, codes),
    static_argnums=0,
)
LOSS = jax.jit(
    lambda objective, params, batch: objective.loss(params, {}, batch, jax.random.key(2))
)
GRAD = jax.jit(
    lambda objective, params, batch: jax.value_and_grad(
        lambda p: objective.loss(p, {}, batch, jax.random.key(2))[0]
    )(params)
)
