"""Pairs of a query and its candidate: the task that a retrieval model is built from.

Axes: q queries, s tokens.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer


class QueryTask(NamedTuple):
    """Training queries, each with the one candidate that it asks for."""

    queries: Integer[np.ndarray, "q s"]
    """Tokens, padded."""
    candidate: Integer[np.ndarray, "q"]
    """Number of the image, document, ... of each query; several may share one."""
