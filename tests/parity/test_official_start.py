"""Parameters start as widely spread as in the authors' code; needs no PyTorch."""

import jax
import numpy as np
import pytest

from tests.parity import official_mmrec_ours, official_others_ours
from tests.parity.official_cases import STARTS, inputs, labels
from tests.parity.official_ours import GOLDEN, tree
from tests.parity.records import load, with_prefix

pytestmark = pytest.mark.slow

pytestmark = pytest.mark.parity
FILES = ("mmrec", "meta-mmf", "invrl", "ad-drl")
MODELS = {**official_mmrec_ours.MODELS, **official_others_ours.MODELS}


@pytest.fixture(scope="module")
def spreads():
    files = [load(GOLDEN / f"official_start_{name}.npz")[1] for name in FILES]
    return {name: x for file in files for name, x in file.items()}


@pytest.mark.parametrize("name", STARTS)
def test_parameters_start_alike(name, spreads):
    """A normal distribution of ours is cut off at two deviations, but has the same deviation.

    AD-DRL's biases alone start otherwise, at zero.
    """
    case, record = STARTS[name], inputs(STARTS[name])
    if case.model == "ad_drl":
        record |= {f"labels/{n}": x for n, x in labels(case).items()}
    ours = MODELS[case.model](case, record)
    constant = {
        k: np.full(x[1:].astype(int), x[0]) for k, x in with_prefix(spreads, f"{name}/").items()
    }
    wanted = jax.tree.leaves(tree(ours.names, constant))
    init = jax.jit(ours.objective.init)
    found = init(jax.random.key(0))["params"]
    found = jax.tree_util.tree_leaves_with_path(found)
    for (path, x), want in zip(found, wanted, strict=True):
        assert x.shape == want.shape, jax.tree_util.keystr(path)
        deviation, want = float(np.std(x)), float(want.mean())
        if case.model == "ad_drl" and "bias" in str(path[-1]):
            want = 0.0
        near = want * (0.07 + 2.5 / np.sqrt(x.size))
        assert deviation == pytest.approx(want, abs=near + 1e-7), jax.tree_util.keystr(path)
