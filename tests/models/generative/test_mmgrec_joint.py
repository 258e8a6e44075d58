"""MMGRec's first two stages at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.generative import rq_vae
from mmjax.models.generative.mmgrec import stages as mmgrec
from mmjax.models.generative.mmgrec.config import GraphConfig
from mmjax.models.generative.rq_vae.config import MMGREC
from tests.models.conftest import N_ITEMS, vectors

GRAPH = GraphConfig(width=6, out_width=4, hidden_dropout=0.0, output_dropout=0.0)
QUANTISER = dataclasses.replace(MMGREC, sizes=(3, 2), widths=(5,), latent=3)


@pytest.fixture(scope="module")
def made(task):
    """Model and first variables."""
    model = mmgrec.build_joint(GRAPH, QUANTISER, task)
    return model, jax.jit(lambda o, key: o.init(key))(model.objective, jax.random.key(0))


def test_loss_is_the_sum_of_both(task, rows, made):
    objective, variables = made[0].objective, made[1]
    params = variables["params"]

    def loss(params):
        return objective.loss(params, {}, rows, jax.random.key(1))

    (value, aux), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    alone = mmgrec.build_graph(GRAPH, task)
    rank = jax.jit(lambda p: alone.objective.loss(p, {}, rows, jax.random.key(2))[0])(
        params["graph"]
    )
    assert_allclose(aux.metrics["rank"], rank, rtol=1e-5)
    # The quantiser's part: the items of the three rows that count, with their negatives.
    items = vectors(alone, params["graph"]).items
    met = jnp.array([0, 3, 2, 4, 3, 1])
    table = rq_vae.build(QUANTISER, np.asarray(items))
    batch = {"row": met, "where": jnp.ones(6, bool)}
    part = jax.jit(lambda p: table.loss(p, {}, batch, jax.random.key(3))[0])(params["quantiser"])
    assert_allclose(value, rank + part, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    for part in ("graph", "quantiser"):
        assert any(np.abs(g).max() > 0 for g in jax.tree.leaves(grads[part]))


def test_codes_are_those_of_the_vectors(made):
    model, variables = made
    items = vectors(model, variables["params"]).items
    codes = mmgrec.item_codes(QUANTISER, variables, items)
    assert codes.shape == (N_ITEMS, 2) and (np.asarray(codes).max(0) < [3, 2]).all()
    alone = {"params": variables["params"]["quantiser"]}
    assert_array_equal(codes, rq_vae.encode(QUANTISER, alone, items))


def test_inputs_that_change_are_not_standardised(task):
    with pytest.raises(ValueError, match="normalise 'standard'"):
        mmgrec.build_joint(GRAPH, dataclasses.replace(QUANTISER, normalise="standard"), task)
