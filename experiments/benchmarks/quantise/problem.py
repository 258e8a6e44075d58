"""Latents and codebooks: the problem that both sides of `quantise` train on."""

from typing import NamedTuple

import numpy as np

MODES = ("gradient", "ema", "ema, revival")
DECAY, THRESHOLD, LEARNING_RATE = 0.99, 2.0, 1e-3


class Problem(NamedTuple):
    """Latents to quantise."""

    x: np.ndarray
    """float32[b, d] latents."""
    target: np.ndarray
    """float32[b, d] targets of the output."""
    codebooks: np.ndarray
    """float32[l, k, d]."""


def problem(batch: int, levels: int, codes: int, width: int) -> Problem:
    """Normal latents; codebooks that shrink from level to level as residuals do."""
    draw = np.random.default_rng(0)
    scale = 0.7 ** np.arange(levels, dtype=np.float32)[:, None, None]
    return Problem(
        draw.standard_normal((batch, width), np.float32),
        draw.standard_normal((batch, width), np.float32),
        scale * draw.standard_normal((levels, codes, width), np.float32),
    )
