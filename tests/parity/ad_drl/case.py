"""Small problems of AD-DRL, and the attributes of their items. Needs NumPy alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.parity.common.problem import LARGER, Case, enlarged

ATTRIBUTES = {"price": 3, "salesrank": 2, "brand": 6, "category": 4}


def _cases() -> Iterator[tuple[str, Case]]:
    """Four attributes and the rest, and three of them as on Baby."""
    weights = {"decay_r": 0.3, "decay_f": 0.7, "decay_a": 2.0, "decay_n": 0.2}
    three: Any = {"model": "ad_drl", "negatives": 3}
    toys = weights | {"dataset_name": "ToysGames", "n_factors": 5, "embed_dim": 15, "temp": 1.0}
    yield "ad_drl", Case(settings=toys, **three)
    baby = weights | {"dataset_name": "Baby", "n_factors": 4, "embed_dim": 16, "temp": 2.0}
    yield "ad_drl_larger", Case(settings=baby, **three, **LARGER)


CASES = dict(_cases())
STARTS = {"ad_drl": enlarged(CASES["ad_drl"])}


def labels(case: Case) -> dict[str, np.ndarray]:
    """The class of every item by attribute, for AD-DRL; each class occurs."""
    draw = np.random.default_rng(3000 + case.seed)
    names = [*ATTRIBUTES][: case.settings["n_factors"] - 1]
    return {n: draw.permutation(np.arange(case.n_items) % ATTRIBUTES[n]) for n in names}
