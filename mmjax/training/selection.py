"""The best epoch and the moment to stop, for one seed."""

import math
from dataclasses import dataclass, replace

from mmjax.training.config import FitConfig


@dataclass(frozen=True)
class Selection:
    """The sum of one seed's evaluations so far; JSON-able."""

    best_epoch: int = 0
    """Epoch of the best evaluation; 0 before the first one."""
    best_metric: float | None = None
    """Its metric, not rounded; None without an evaluation function."""
    stopped_epoch: int = 0
    """Epoch at which the seed stopped early; 0 while it has not."""


def observe(selection: Selection, epoch: int, metric: float | None, config: FitConfig) -> Selection:
    """Take one evaluation into account.

    The evaluation is the best when its metric, rounded to `config.metric_digits`, is strictly
    better than the best one's. Without a metric (None) every evaluation is the best. The seed
    stops when `config.patience` epochs or more have passed since its best, `config.min_epochs`
    permitting. An evaluation after the stop changes nothing.

    Raises:
        ValueError: the metric is not a finite number.
    """
    if metric is not None and not math.isfinite(metric):
        raise ValueError(f"{config.metric} is {metric} at epoch {epoch}")
    if selection.stopped_epoch:
        return selection
    if selection.best_epoch == 0 or _better(metric, selection.best_metric, config):
        return Selection(epoch, metric)
    waited = epoch - selection.best_epoch
    if config.patience and waited >= config.patience and epoch >= config.min_epochs:
        return replace(selection, stopped_epoch=epoch)
    return selection


def _better(new: float | None, best: float | None, config: FitConfig) -> bool:
    if new is None or best is None:
        return True
    if config.metric_digits is not None:
        new, best = round(new, config.metric_digits), round(best, config.metric_digits)
    return new > best if config.maximise else new < best
