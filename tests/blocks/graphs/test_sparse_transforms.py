"""`spmm` under vmap, scan, checkpoint, and on several devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from mmjax.blocks.graphs import graph as graphs
from mmjax.blocks.graphs.sparse import operator, spmm

N, D, B = 16, 3, 4
GRAPH = graphs.normalise(
    graphs.bipartite(
        np.unique(np.random.default_rng(0).integers(0, (9, 7), (30, 2)), axis=0), 9, 7
    ),
    "left",
)
E = len(GRAPH.senders)


def reference(x, w):
    return jax.ops.segment_sum(w[:, None] * x[GRAPH.senders], jnp.asarray(GRAPH.receivers), N)


def energy(f):
    return lambda x, w: (f(x, w) ** 2).sum()


def close(a, b):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), a, b)


@pytest.fixture
def inputs(getkey):
    return (
        jax.random.normal(getkey(), (N, D)),
        jax.random.normal(getkey(), (E,)),
        jax.random.normal(getkey(), (B, N, D)),
        jax.random.normal(getkey(), (B, E)),
    )


BATCHED = {
    "x": lambda f, x, w, xs, ws: jax.vmap(f, (0, None))(xs, w),
    "w": lambda f, x, w, xs, ws: jax.vmap(f, (None, 0))(x, ws),
    "both": lambda f, x, w, xs, ws: jax.vmap(f)(xs, ws),
    "x in axis 1": lambda f, x, w, xs, ws: jax.vmap(f, (1, None), 2)(xs.swapaxes(0, 1), w),
    "nested, x outside": lambda f, x, w, xs, ws: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(
        xs, ws
    ),
    "nested, w outside": lambda f, x, w, xs, ws: jax.vmap(jax.vmap(f, (0, None)), (None, 0))(
        xs, ws
    ),
}


@pytest.mark.parametrize("layout", ["csr", "ell"])
@pytest.mark.parametrize("how", BATCHED)
def test_vmap_and_its_gradient(layout, how, inputs):
    op = operator(GRAPH, layout=layout)

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(f, *inputs):
        y = BATCHED[how](f, *inputs)
        return y, jax.grad(lambda a: (BATCHED[how](f, *a) ** 2).sum())(inputs)

    close(
        value_and_gradient(lambda x, w: spmm(op, x, w), *inputs),
        value_and_gradient(reference, *inputs),
    )


@pytest.mark.parametrize("layout", ["csr", "ell"])
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_of_the_gradient(layout, axes, inputs):
    op = operator(GRAPH, layout=layout)
    x, w, xs, ws = inputs
    arguments = (x if axes[0] is None else xs, w if axes[1] is None else ws)

    def gradients(f):
        return jax.jit(jax.vmap(jax.grad(energy(f), (0, 1)), axes))(*arguments)

    close(gradients(lambda x, w: spmm(op, x, w)), gradients(reference))


def test_batched_features_become_wider_features(inputs):
    """One product of width b * d instead of b products: no loop in the program."""
    op = operator(GRAPH, layout="csr")
    program = jax.jit(jax.vmap(lambda x: spmm(op, x))).lower(inputs[2]).as_text()
    assert program.count("sparse_dense") == 1
    assert f"tensor<{N}x{B * D}xf32>" in program


@pytest.mark.parametrize("layout", ["csr", "ell"])
def test_scan_over_weights_with_recomputation(layout, inputs):
    op = operator(GRAPH, layout=layout)
    x, w, _, ws = inputs

    def gradients(f):
        @jax.checkpoint
        def hop(h, w):
            return f(h, w), None

        return jax.jit(jax.grad(lambda x, ws: jax.lax.scan(hop, x, ws)[0].sum(), (0, 1)))(x, ws)

    close(gradients(lambda x, w: spmm(op, x, w)), gradients(reference))


def test_the_operator_is_a_pytree(inputs):
    """As a jit argument, closed over, stacked and vmapped: the same product."""
    op = operator(GRAPH)
    x = inputs[0]
    expected = reference(x, op.weights)
    close(jax.jit(spmm)(op, x), expected)
    close(jax.jit(lambda x: spmm(op, x))(x), expected)
    stacked = jax.tree.map(lambda a: jnp.stack([a, a]), op)
    close(jax.vmap(spmm, (0, None))(stacked, x)[1], expected)
    leaves, tree = jax.tree.flatten(op)
    assert jax.tree.unflatten(tree, leaves).layout == op.layout


DEVICES = 8


def per_device(op, x, w):
    """Gradient of a device's own rows, through learned and through constant weights."""
    own = energy(lambda x, w: spmm(op, x, w) + spmm(op, x))
    return jax.grad(own)(x[0], w)[None]


def all_devices(xs, w, own):
    return jax.vmap(jax.grad(energy(lambda x, w: reference(x, w) + reference(x, own))), (0, None))(
        xs, w
    )


@pytest.fixture
def mesh():
    return jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))


@pytest.mark.multi
@pytest.mark.parametrize("layout", ["csr", "ell"])
@pytest.mark.parametrize("tracked", [False, True])
def test_shard_map(layout, tracked, mesh, getkey, inputs):
    op = operator(GRAPH, layout=layout)
    xs = jax.random.normal(getkey(), (DEVICES, N, D))
    f = jax.shard_map(
        per_device,
        mesh=mesh,
        in_specs=(P(), P("data"), P()),
        out_specs=P("data"),
        check_vma=tracked,
    )
    close(jax.jit(f)(op, xs, inputs[1]), all_devices(xs, inputs[1], op.weights))


@pytest.mark.multi
def test_shared_weights_sum_their_gradient_where_devices_are_tracked(mesh, getkey, inputs):
    op = operator(GRAPH)
    xs = jax.random.normal(getkey(), (DEVICES, N, D))

    def gradient(x, w):
        return jax.grad(energy(lambda x, w: spmm(op, x, w)), 1)(x[0], w)

    f = jax.shard_map(gradient, mesh=mesh, in_specs=(P("data"), P()), out_specs=P())
    total = jax.grad(lambda w: energy(jax.vmap(reference, (0, None)))(xs, w))(inputs[1])
    close(jax.jit(f)(xs, inputs[1]), total)


@pytest.mark.multi
@pytest.mark.parametrize("layout", ["csr", "ell"])
def test_pmap(layout, getkey, inputs):
    op = operator(GRAPH, layout=layout)
    xs = jax.random.normal(getkey(), (DEVICES, N, D))
    f = jax.pmap(
        lambda op, x, w: per_device(op, x[None], w)[0], axis_name="data", in_axes=(None, 0, None)
    )
    close(f(op, xs, inputs[1]), all_devices(xs, inputs[1], op.weights))


@pytest.mark.multi
@pytest.mark.parametrize("layout", ["csr", "ell"])
def test_sharded_arrays_under_jit(layout, mesh, getkey, inputs):
    """The global view: replicated operands, and features split over the devices."""
    op = operator(GRAPH, layout=layout)
    x = jax.random.normal(getkey(), (N, 2 * DEVICES))
    for spec in (P(), P(None, "data")):
        placed = jax.device_put(x, NamedSharding(mesh, spec))
        gradient = jax.jit(jax.grad(lambda x: (spmm(op, x) ** 2).sum()))(placed)
        close(gradient, jax.grad(lambda x: (reference(x, op.weights) ** 2).sum())(x))
