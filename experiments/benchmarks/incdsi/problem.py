"""New documents for an index of dual encoders: the problem that both sides of `incdsi` solve."""

from typing import NamedTuple

import numpy as np

BALANCE, NEW, OLD, DECAY = 0.5, 1.0, 1.0, 1e-6
STEPS, TOLERANCE = 30, 1e-3


class Problem(NamedTuple):
    """Tables of an index, and documents that arrive."""

    rows: np.ndarray
    """float32[n, d] classifier rows."""
    queries: np.ndarray
    """float32[n, d] mean query of each row's document."""
    new: np.ndarray
    """float32[k, d] mean queries of the new documents."""
    starts: np.ndarray
    """float32[k, d] start values of the new rows."""


def problem(documents: int, width: int, new: int) -> Problem:
    """Unit queries of documents in clusters of about ten, and rows that know them."""
    draw = np.random.default_rng(0)

    def near(centres: np.ndarray) -> np.ndarray:
        x = centres + draw.standard_normal(centres.shape, np.float32) / width**0.5
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    centres = draw.standard_normal((max(1, documents // 10), width), np.float32) / width**0.5
    queries = near(centres[draw.integers(len(centres), size=documents)])
    rows = 10 * queries + draw.standard_normal((documents, width), np.float32) / width**0.5
    fresh = near(centres[draw.integers(len(centres), size=new)])
    starts = draw.uniform(-1, 1, (new, width)).astype(np.float32) / width**0.5
    return Problem(rows.astype(np.float32), queries, fresh, starts)
