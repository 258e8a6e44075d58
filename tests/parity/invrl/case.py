"""Small problems of InvRL's stages. Needs NumPy alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.parity.common.problem import LARGER, Case, enlarged


def _cases() -> Iterator[tuple[str, Case]]:
    """The recommender before and after the mask is known, and what comes between."""
    weights = {"p_w": [1.0, 2.0, 3.0, 0.5], "p_emb": [0.1, 0.3], "p_proj": [0.1, 0.2]}
    many: Any = {"negatives": 4}
    yield "invrl", Case("invrl", weights | {"wdi": 1.0, "masked": False}, **many)
    yield "invrl_final", Case("invrl", weights | {"wdi": 2.0, "masked": True}, **many, **LARGER)
    # What the stages do not train has a constant penalty, which is left out here.
    stages = weights | {"p_emb": [0.1, 0.0], "wdi": 2.0, "num_domains": 3, "b_epoch": 1}
    stages |= {"alpha": 0.3, "lam": 0.7, "epoch": 5}
    for stage in ("environments", "mask"):
        yield f"invrl_{stage}", Case(f"invrl_{stage}", stages, **many)
    yield "invrl_mask_larger", Case("invrl_mask", stages | {"num_domains": 5}, **many, **LARGER)


CASES = dict(_cases())
STARTS = {"invrl": enlarged(CASES["invrl"])}


def environments(case: Case) -> np.ndarray:
    """The environment of every row of the batch, for InvRL; each has a row."""
    draw = np.random.default_rng(4000 + case.seed)
    return draw.permutation(np.arange(case.batch) % case.settings["num_domains"])


def mask(case: Case) -> np.ndarray:
    """InvRL's weights of the content, some of them zero or one."""
    draw = np.random.default_rng(5000 + case.seed)
    return np.clip(draw.normal(0.5, 0.6, sum(case.widths.values())), 0, 1).astype(np.float32)
