"""Noise of rows differs between the devices of a mapped step; noise of shared nodes does not."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from mmjax.blocks.common import own_key
from mmjax.training.parallel import AXIS, make_mesh
from tests.contracts.cases import case, key, rows_of
from tests.starts import started

OF_ROWS = ("tiger", "sasrec", "mmgrec", "prompt_dsi", "ad_drl", "avg", "avg_tokenizer", "rq_vae")
OF_NODES = ("bm3", "mig_gt")


@functools.partial(jax.jit, static_argnums=3)
def gradients(objective, variables, batch, mesh):
    """The gradient of each device for its half of the rows, before any mean over devices."""
    params = variables["params"]
    state = {n: x for n, x in variables.items() if n != "params"}

    def own(rows):
        def loss(p):
            return objective.loss(p, state, rows, key(), axis=AXIS)[0]

        return jax.tree.map(lambda x: x[None], jax.grad(loss)(params))

    specs = {n: PartitionSpec(AXIS) for n in batch}
    return jax.shard_map(
        own, mesh=mesh, in_specs=(specs,), out_specs=PartitionSpec(AXIS), check_vma=False
    )(batch)


@pytest.mark.multi
@pytest.mark.parametrize("name", OF_ROWS + OF_NODES)
def test_devices_with_equal_rows_draw_their_own_noise(name):
    c = case(name, noise=True)
    twice = rows_of(c._replace(drawn=frozenset()), np.array([0, 1, 0, 1]))
    variables = started(c.objective, jax.random.key(0))
    found = gradients(c.objective, variables, twice, make_mesh(2))
    same = all(np.array_equal(x[0], x[1]) for x in jax.tree.leaves(found))
    assert same == (name in OF_NODES)


def test_without_a_mapped_axis_the_key_is_the_callers():
    np.testing.assert_array_equal(
        jax.random.key_data(own_key(key(), None)), jax.random.key_data(key())
    )
