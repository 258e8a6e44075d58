"""Tests of a difference between two methods: t-tests that know constant differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Values = Sequence[float] | np.ndarray
"""One number a seed, or a user."""


class TTest(NamedTuple):
    """A two-sided t-test on the difference of means."""

    difference: float
    p: float


def paired_t(ours: Values, theirs: Values) -> TTest:
    """Paired t-test: values of two methods for the same seeds, or for the same users.

    Without any spread of the differences p is 0, or 1 if the two are equal.

    Raises:
        ValueError: the lengths differ or are below two.
    """
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"pairs of two and more values needed, got shapes {a.shape}, {b.shape}")
    if _constant(a - b):
        return _certain(a, b)
    from scipy import stats

    return TTest(float(np.mean(a - b)), float(np.asarray(stats.ttest_rel(a, b))[1]))


def welch_t(ours: Values, theirs: Values) -> TTest:
    """Welch's t-test, for two methods whose values do not form pairs.

    Without any spread in either p is 0, or 1 if the two are equal.

    Raises:
        ValueError: one of them has fewer than two values.
    """
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    if a.ndim != 1 or b.ndim != 1 or min(len(a), len(b)) < 2:
        raise ValueError(f"two and more values each needed, got shapes {a.shape}, {b.shape}")
    if _constant(a) and _constant(b):
        return _certain(a, b)
    from scipy import stats

    result = stats.ttest_ind(a, b, equal_var=False)
    return TTest(float(a.mean() - b.mean()), float(np.asarray(result)[1]))


def _constant(values: np.ndarray) -> bool:
    """True if `values` differ by rounding only, where a t statistic would be noise."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _certain(a: np.ndarray, b: np.ndarray) -> TTest:
    difference = float(a.mean() - b.mean())
    return TTest(difference, 1.0 if abs(difference) <= 1e-12 else 0.0)
