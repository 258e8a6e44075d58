"""InvRL's stages against stored results of its authors' code; needs no PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmjax.models.multimodal.invrl import stages
from tests.parity.common.comparison import (
    Ours,
    assert_agrees,
    gradients,
    near,
    results,
    task_of,
    tree,
)
from tests.parity.common.problem import inputs
from tests.parity.common.records import stored, with_prefix
from tests.parity.common.starts import assert_starts_alike
from tests.parity.invrl.case import CASES, STARTS
from tests.parity.invrl.ours import invrl_config, our_model

pytestmark = pytest.mark.parity


def stage(name, prefix):
    """Configuration, what is fixed, and the batch's environments of a case."""
    case, record = CASES[name], stored("invrl", name)
    config, task = invrl_config(case), task_of(case, record)
    params = {
        "user_embedding": jnp.asarray(record[f"state/{prefix}U"]),
        "item_embedding": jnp.asarray(record[f"state/{prefix}V"]),
    }
    fixed = stages.pretrained(config, task, params)
    batch = {"environment": jnp.asarray(record["environment"], jnp.int32)}
    return record, config, fixed, batch


@pytest.mark.parametrize("name", ["invrl", "invrl_final"])
def test_loss_parts_gradients_vectors_and_scores(name):
    case, record = CASES[name], stored("invrl", name)
    assert_agrees(our_model(case, record), record)


def test_environments_are_fitted_and_chosen_alike():
    record, config, fixed, batch = stage("invrl_environments", "0.net.")
    groups = range(config.environments)
    names = {
        "kernel": lambda w: np.stack([w[f"{e}.net.MLP.weight"].T for e in groups]),
        "bias": lambda w: np.stack([w[f"{e}.net.MLP.bias"] for e in groups]),
    }
    objective = stages.environments(config, fixed, jnp.asarray(record["mask"]))
    ours = Ours(objective, None, names, batch=batch)
    found = results(ours, record)
    near("loss", found["loss"], record["loss"])
    near("gradient ", found["grads"], gradients(ours, record))
    pairs = jnp.asarray(record["pairs"], jnp.int32)
    params = jax.tree.map(jnp.asarray, tree(names, with_prefix(record, "state/")))
    assert_array_equal(stages.best_environment(fixed, params, pairs), record["best"])


@pytest.mark.parametrize("name", ["invrl_mask", "invrl_mask_larger"])
def test_the_first_step_of_the_mask(name):
    """The loss holds gradients, so that its gradient is of second order."""
    record, config, fixed, batch = stage(name, "net.")
    names = {"kernel": lambda w: w["net.MLP.weight"].T, "gate": lambda w: w["fs.mu"]}
    ours = Ours(stages.mask_learning(config, fixed), None, names, batch=batch)
    found = results(ours, record)
    near("loss", found["loss"], record["loss"])
    for part in ("penalty", "gate"):
        near(part, found["parts"][part], record[f"part/{part}"])
    near("gradient ", found["grads"], gradients(ours, record))


def test_parameters_start_alike():
    ours = our_model(STARTS["invrl"], inputs(STARTS["invrl"]))
    assert_starts_alike(ours, with_prefix(stored("invrl", "start"), "invrl/"))
