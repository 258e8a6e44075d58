"""MIG-GT: the acceptance checks that concern the whole model."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.models.multimodal import mig_gt
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig
from tests.models.conftest import N_ITEMS, N_USERS, vectors
from tests.starts import started

N = N_USERS + N_ITEMS
CONFIG = MIGGTConfig(width=4, hidden=8, samples=3, attention_width=2)


def _features(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "text": jnp.asarray(rng.normal(size=(N_ITEMS, 6)), jnp.float32),
        "image": jnp.asarray(rng.normal(size=(N_ITEMS, 9)), jnp.float32),
    }


def _config(**changes):
    return MIGGTConfig(**{**CONFIG.__dict__, **changes})


def _forward(config, graph, features=None, *, seed=0, samples=None, train=False):
    network = mig_gt.MIGGT(config, N_USERS, N_ITEMS)
    features = _features() if features is None else features
    streams = {"params": jax.random.key(seed), "samples": jax.random.key(seed + 1)}
    variables = network.init(streams, features, graph)
    if samples is None:
        samples = jax.random.randint(jax.random.key(1), (N, config.samples), 0, N_ITEMS)
    return variables, network.apply(variables, features, graph, samples=samples, train=train)


def test_shapes(graphs):
    _, nodes = _forward(CONFIG, graphs[True])
    chex.assert_shape([nodes.final, nodes.fused], (N, 4))
    chex.assert_shape(nodes.samples, (N, 3))


def test_parameter_count(graphs):
    variables, _ = _forward(CONFIG, graphs[True])
    encoder = [w * 8 + 8 + 2 * 8 + 1 + 8 * 4 + 4 + 2 * 4 + 1 for w in (6, 9)]
    expected = N_USERS * 4 + sum(encoder) + 2 * (4 * 2 + 2)
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == expected


def test_modalities_add_up(graphs):
    none = {"samples": 0}
    whole, nodes = _forward(_config(**none), graphs[True])
    network = lambda **c: mig_gt.MIGGT(_config(**none, **c), N_USERS, N_ITEMS)  # noqa: E731
    parts = [
        network(**c).apply(whole, _features(), graphs[True]).fused
        for c in (
            {"hops": (-1, -1)},
            {"id_hops": -1, "hops": (2, -1)},
            {"id_hops": -1, "hops": (-1, 1)},
        )
    ]
    assert_allclose(sum(parts), nodes.fused, atol=1e-5)


def test_without_hops_content_stays_on_its_items(graphs):
    config = _config(hops=(0, 0), samples=0)
    _, nodes = _forward(config, graphs[True])
    _, other = _forward(config, graphs[True], _features(1))
    assert_array_equal(nodes.final[:N_USERS], other.final[:N_USERS])
    assert not np.allclose(nodes.final[N_USERS:], other.final[N_USERS:])


def test_everything_left_out_is_refused(graphs):
    with pytest.raises(ValueError, match="every modality is left out"):
        _forward(_config(id_hops=-1, hops=(-1, -1)), graphs[True])


def test_wrong_number_of_hop_counts_is_refused(graphs):
    with pytest.raises(ValueError, match="one count for each"):
        _forward(_config(hops=(1,)), graphs[True])


def test_missing_modality_is_refused(graphs):
    with pytest.raises(ValueError, match="'image'.* not among"):
        mig_gt.build_from_graph(
            CONFIG, {"text": _features()["text"]}, graphs[True], N_USERS, N_ITEMS
        )


def test_order_of_the_feature_dict_does_not_matter(graphs):
    turned = dict(reversed(_features().items()))
    _, one = _forward(CONFIG, graphs[True])
    _, other = _forward(CONFIG, graphs[True], turned)
    assert_array_equal(one.final, other.final)


def test_loss_is_the_sum_of_its_terms_over_rows_that_count(graphs, rows, getkey):
    model = mig_gt.build_from_graph(CONFIG, _features(), graphs[True], N_USERS, N_ITEMS)
    variables = started(model.objective, getkey())
    params = variables.pop("params")
    value, aux = model.objective.loss(params, variables, rows, jax.random.key(1))
    assert set(aux.metrics) == {"rank", "tur", "l2"}
    assert_allclose(value, sum(aux.metrics.values()), rtol=1e-6)
    fewer = {name: x[:3] for name, x in rows.items()}
    assert_allclose(
        model.objective.loss(params, variables, fewer, jax.random.key(1))[0], value, rtol=1e-5
    )


def test_equal_vectors_give_the_logarithm_of_the_candidates(graphs, rows):
    same = jnp.ones((N, 4))
    samples = jnp.zeros((N, 3), jnp.int32)
    zero = mig_gt.QueryKey(jnp.zeros((4, 2)), jnp.zeros(2), jnp.zeros((4, 2)), jnp.zeros(2))
    rows = {**rows, "negatives": jnp.zeros((4, 5), jnp.int32)}
    terms = mig_gt.loss_terms(CONFIG, mig_gt.Nodes(same, same, samples, zero), N_USERS, rows)
    assert_allclose(terms["rank"], 3 * np.log(6), rtol=1e-6)
    assert_allclose(terms["tur"], 3 * np.log(4), rtol=1e-6)
    assert_allclose(terms["l2"], CONFIG.l2 * 0.5 * N * 4, rtol=1e-6)


def test_ablations_drop_their_terms(graphs, rows, getkey):
    for changes, names in (
        ({"samples": 0}, {"rank", "l2"}),
        ({"tur_weight": 0.0}, {"rank", "l2"}),
    ):
        model = mig_gt.build_from_graph(
            _config(**changes), _features(), graphs[True], N_USERS, N_ITEMS
        )
        variables = started(model.objective, getkey())
        params = variables.pop("params")
        assert set(model.objective.loss(params, variables, rows, getkey())[1].metrics) == names


def test_content_gradient_stays_in_the_receptive_field(graphs, getkey):
    config = _config(hops=(1, 1), id_hops=1, samples=0, l2=0.0)
    features = _features()
    network = mig_gt.MIGGT(config, N_USERS, N_ITEMS)
    variables = network.init(getkey(), features, graphs[True])

    def score(text):
        # Evaluation mode: batch statistics would couple all items.
        x = network.apply(variables, {**features, "text": text}, graphs[True]).final
        return x[0] @ x[N_USERS + 1]

    reached = np.abs(jax.grad(score)(jnp.asarray(features["text"]))).sum(1) > 0
    assert_array_equal(reached, [True, True, False, False, False])


def test_evaluation_is_fixed_by_its_key_and_averages_draws(graphs, getkey):
    build = lambda **c: mig_gt.build_from_graph(  # noqa: E731
        _config(**c), _features(), graphs[True], N_USERS, N_ITEMS
    )
    variables = started(build().objective, getkey())
    params = variables.pop("params")
    once = vectors(build(), params, variables, jax.random.key(7))
    again = vectors(build(), params, variables, jax.random.key(7))
    chex.assert_trees_all_equal(once, again)
    other = vectors(build(), params, variables, jax.random.key(8))
    assert not np.allclose(once[0], other[0])
    spread = [
        np.std(
            [
                vectors(build(eval_samples=n), params, variables, jax.random.key(s))[0][0, 0]
                for s in range(12)
            ]
        )
        for n in (1, 16)
    ]
    assert spread[1] < 0.6 * spread[0]


def test_random_projection_belongs_to_the_seed_and_travels_with_the_variables(graphs, rows):
    config = _config(project=("image",), projection_width=5)
    model = mig_gt.build_from_graph(config, _features(), graphs[True], N_USERS, N_ITEMS)
    one, two = (started(model.objective, jax.random.key(s)) for s in (0, 1))
    chex.assert_shape(one["projected"]["image"], (N_ITEMS, 5))
    assert_allclose(jnp.linalg.norm(one["projected"]["image"], axis=1), np.ones(N_ITEMS), rtol=1e-5)
    assert not np.allclose(one["projected"]["image"], two["projected"]["image"])
    params = one.pop("params")
    state = model.objective.loss(params, one, rows, jax.random.key(2))[1].state
    assert_array_equal(state["projected"]["image"], one["projected"]["image"])


def test_bfloat16_features(graphs, rows, getkey):
    features = {name: jnp.asarray(x, jnp.bfloat16) for name, x in _features().items()}
    model = mig_gt.build_from_graph(CONFIG, features, graphs[True], N_USERS, N_ITEMS)
    variables = started(model.objective, getkey())
    params = variables.pop("params")
    value = model.objective.loss(params, variables, rows, getkey())[0]
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
