"""MIG-GT and its baselines: train, recommend, sweep, hops, tables."""

from pathlib import Path

from experiments.common import comparison, readme
from experiments.common import sweep as sweeps
from experiments.common.config import Run
from experiments.common.interactions import recommend
from experiments.common.sweep import Sweep
from experiments.mig_gt import analysis
from experiments.mig_gt.analysis import hops
from experiments.mig_gt.config import preset

__all__ = ["hops", "recommend", "sweep", "tables", "train"]


def train(run: Run) -> None:
    """Train the method of `run` and its baselines, print the table, write records and report."""
    comparison.train(run, preset)


def sweep(flags: Sweep) -> str:
    """Search a grid on validation; the best trials as text."""
    return sweeps.best_rows(sweeps.sweep(flags, preset), flags.metric)


def tables() -> Path:
    """Fill README.md, and draw a bar chart a table beside the records."""
    analysis.draw_leaderboards()
    return readme.fill(analysis.FOLDER, analysis.bodies())
