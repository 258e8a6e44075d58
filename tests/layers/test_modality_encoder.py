"""The encoder against its equations in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from mmjax.layers.modality_encoder import ModalityEncoder


def _numpy(x, params, eps=1e-5):
    for name in ("hidden", "output"):
        layer, norm = params[name], params[f"{name}_norm"]
        x = x @ layer["kernel"] + layer["bias"]
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + eps) * norm["scale"] + norm["bias"]
        x = np.where(x > 0, x, params[f"{name}_slope"]["negative_slope"] * x)
    return x


def test_follows_its_equations(getkey):
    x = jax.random.normal(getkey(), (9, 5))
    encoder = ModalityEncoder(hidden=7, width=3)
    variables = encoder.init(getkey(), x)
    got, _ = encoder.apply(
        variables, x, train=True, rngs={"dropout": getkey()}, mutable=["batch_stats"]
    )
    expected = _numpy(np.asarray(x), jax.tree.map(np.asarray, variables["params"]))
    assert_allclose(got, expected, atol=2e-5)


def test_starts_as_the_paper_says(getkey):
    variables = ModalityEncoder(64, 32).init(getkey(), jnp.ones((4, 128)))
    params = variables["params"]
    assert params["hidden_slope"]["negative_slope"] == 0.25
    assert_allclose(np.abs(params["hidden"]["kernel"]).max(), (6 / 192) ** 0.5, rtol=0.02)
    assert not params["hidden"]["bias"].any()


def test_running_statistics_move_by_a_tenth(getkey):
    x = jax.random.normal(getkey(), (50, 4)) + 3.0
    encoder = ModalityEncoder(6, 2)
    variables = encoder.init(getkey(), x)
    _, updated = encoder.apply(
        variables, x, train=True, rngs={"dropout": getkey()}, mutable=["batch_stats"]
    )
    hidden = x @ variables["params"]["hidden"]["kernel"]
    got = updated["batch_stats"]["hidden_norm"]["mean"]
    assert_allclose(got, 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-5)
