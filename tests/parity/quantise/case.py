"""Small problems for the parity of quantisers with lucidrains' vector-quantize-pytorch.

Needs NumPy alone.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Case:
    """One quantiser and a few of its training steps."""

    kind: Literal["vq", "rq", "simvq"] = "rq"
    """Which class of the other library: VectorQuantize, ResidualVQ or SimVQ."""
    learning: Literal["gradient", "ema"] = "gradient"
    estimator: Literal["straight_through", "rotation"] = "straight_through"
    residual: Literal["detach", "ste_residual"] = "detach"
    sizes: tuple[int, ...] = (7, 6, 5)
    shared: bool = False
    cosine: bool = False
    masked: bool = False
    active: int = 0
    """Levels that are used, for quantiser dropout; 0 is no dropout."""
    decay: float = 0.8
    steps: int = 1
    width: int = 4
    rows: int = 20
    seed: int = 0


CASES = {
    "vq_straight": Case("vq", sizes=(9,)),
    "vq_rotation": Case("vq", estimator="rotation", sizes=(9,), seed=1),
    "vq_ema": Case("vq", "ema", sizes=(9,), steps=3, seed=2),
    "vq_ema_rotation": Case("vq", "ema", "rotation", sizes=(9,), steps=3, decay=0.99, seed=3),
    "vq_ema_cosine": Case("vq", "ema", sizes=(9,), cosine=True, steps=3, seed=4),
    "vq_ema_masked": Case("vq", "ema", sizes=(9,), masked=True, steps=3, seed=5),
    "rq_straight": Case(seed=6),
    "rq_rotation": Case(estimator="rotation", seed=7),
    "rq_undetached": Case(residual="ste_residual", seed=8),
    "rq_undetached_rotation": Case(estimator="rotation", residual="ste_residual", seed=9),
    "rq_shared": Case(sizes=(6, 6, 6), shared=True, seed=10),
    "rq_dropout": Case(active=2, seed=11),
    "rq_ema": Case(learning="ema", steps=3, seed=12),
    "rq_ema_rotation": Case(learning="ema", estimator="rotation", steps=3, seed=13),
    "rq_ema_shared": Case(learning="ema", sizes=(6, 6, 6), shared=True, steps=3, seed=14),
    "simvq_straight": Case("simvq", sizes=(9,), seed=15),
    "simvq_rotation": Case("simvq", estimator="rotation", sizes=(9,), seed=16),
}


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Codebooks, and for each step rows, a mask, and what the output is multiplied by."""
    draw = np.random.default_rng(case.seed)
    shape = (case.rows, case.width)
    found = {
        f"codebook_{m}": 0.7**m * draw.normal(size=(size, case.width))
        for m, size in enumerate(case.sizes[: 1 if case.shared else None])
    }
    if case.cosine:
        found = {k: c / np.linalg.norm(c, axis=1, keepdims=True) for k, c in found.items()}
    found["map"] = draw.normal(size=(case.width, case.width))
    for step in range(case.steps):
        found |= {f"x_{step}": draw.normal(size=shape), f"weight_{step}": draw.normal(size=shape)}
        found[f"where_{step}"] = draw.random(case.rows) < (0.7 if case.masked else 2.0)
    return {k: v if v.dtype == bool else v.astype(np.float32) for k, v in found.items()}
