"""MGDCF, and MIG-GT's case without content and transformer."""

import jax
import jax.numpy as jnp
from numpy.testing import assert_allclose

from mmjax.models.collaborative import mgdcf
from mmjax.models.collaborative.config import MGDCFConfig
from mmjax.models.multimodal import mig_gt
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig
from tests.models.conftest import N_ITEMS, N_USERS, vectors
from tests.starts import started

CONFIG = MGDCFConfig(width=4, hops=3, input_dropout=0.0, output_dropout=0.0, l2=0.1)


def test_is_mig_gt_without_content_and_transformer(graphs, rows, getkey):
    model = mgdcf.build_from_graph(CONFIG, graphs[True], N_USERS, N_ITEMS)
    params = started(model.objective, getkey())["params"]
    x = params["embedding"]
    same = MIGGTConfig(
        modalities=(),
        hops=(),
        width=4,
        id_hops=3,
        samples=0,
        item_embedding=True,
        l2=0.1,
        user_dropout=0.0,
        item_dropout=0.0,
        edge_dropout=0.0,
        fused_dropout=0.0,
    )
    other = mig_gt.build_from_graph(same, {}, graphs[True], N_USERS, N_ITEMS)
    split = {"user_embedding": x[:N_USERS], "item_embedding": x[N_USERS:]}
    key = getkey()
    for ours, theirs in zip(
        vectors(model, params, {}, key), vectors(other, split, {}, key), strict=True
    ):
        assert_allclose(ours, theirs, atol=1e-6)
    assert_allclose(
        model.objective.loss(params, {}, rows, key)[0],
        other.objective.loss(split, {}, rows, key)[0],
        rtol=1e-5,
    )


def test_dropout_leaves_the_expected_input(graphs, getkey):
    config = MGDCFConfig(width=4, hops=0, input_dropout=0.5, output_dropout=0.0, l2=0.0)
    network = mgdcf.MGDCF(config, N_USERS, N_ITEMS)
    x = jnp.ones((N_USERS + N_ITEMS, 4))
    keys = jax.random.split(getkey(), 400)
    draws = jax.vmap(
        lambda k: network.apply(
            {"params": {"embedding": x}}, graphs[True], train=True, rngs={"dropout": k}
        )
    )(keys)
    assert set(jnp.unique(draws).tolist()) == {0.0, 2.0}
    assert_allclose(draws.mean(), 1.0, atol=0.05)
