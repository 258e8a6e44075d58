"""Selection and early stopping, by table."""

import math

import pytest

from mmjax.training.config import FitConfig
from mmjax.training.selection import Selection, observe


def run(metrics, every=1, **options):
    config = FitConfig(**{"metric": "recall@20"} | options)
    selection = Selection()
    for n, metric in enumerate(metrics, 1):
        selection = observe(selection, n * every, metric, config)
    return selection


@pytest.mark.parametrize(
    ("metrics", "options", "best", "stopped"),
    [
        ([0.1, 0.2, 0.3], {"patience": 2}, 3, 0),
        ([0.3, 0.2, 0.1], {"patience": 2}, 1, 3),
        # Only strictly better counts, and the stop is final.
        ([0.3, 0.3, 0.3], {"patience": 2}, 1, 3),
        ([0.3, 0.2, 0.1, 0.9], {"patience": 2}, 1, 3),
        ([0.3, 0.2, 0.4, 0.1, 0.1], {"patience": 2}, 3, 5),
        ([0.3, 0.2, 0.1, 0.0], {"patience": 0}, 1, 0),
        ([0.3, 0.2, 0.1, 0.0], {"patience": 1, "min_epochs": 4}, 1, 4),
        # An improvement after the patience has run out but before min_epochs saves the seed.
        ([0.3, 0.2, 0.1, 0.4], {"patience": 1, "min_epochs": 4}, 4, 0),
        ([3.0, 2.0, 1.0], {"patience": 2, "maximise": False}, 3, 0),
        ([1.0, 2.0, 3.0], {"patience": 2, "maximise": False}, 1, 3),
        # MMRec rounds to four decimals before it compares.
        ([0.10001, 0.10004, 0.10003], {"patience": 2, "metric_digits": 4}, 1, 3),
        ([0.10001, 0.10006, 0.10003], {"patience": 2, "metric_digits": 4}, 2, 0),
        ([None, None, None], {"patience": 1}, 3, 0),
        ([-1.0, -2.0], {"patience": 5}, 1, 0),
    ],
)
def test_table(metrics, options, best, stopped):
    selection = run(metrics, **options)
    assert (selection.best_epoch, selection.stopped_epoch) == (best, stopped)
    assert selection.best_metric == metrics[best - 1]


def test_patience_counts_epochs_and_not_evaluations():
    assert run([0.3, 0.2], every=50, patience=100).stopped_epoch == 0
    assert run([0.3, 0.2, 0.2], every=50, patience=100).stopped_epoch == 150


@pytest.mark.parametrize("metric", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_an_error(metric):
    with pytest.raises(ValueError, match="recall@20 is"):
        run([0.1, metric])


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"eval_every": 0},
        {"steps_per_call": 0},
        {"keep": 0},
        {"patience": -1},
        {"min_epochs": -1},
        {"save_seconds": -1.0},
        {"devices": 0},
        {"mode": "vmap"},
    ],
)
def test_configurations_that_cannot_be(bad):
    with pytest.raises((ValueError, TypeError), match=next(iter(bad))):
        FitConfig(**bad)
