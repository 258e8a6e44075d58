"""AD-DRL: train, recommend, explain, control, tables."""

from pathlib import Path

from experiments.ad_drl import analysis
from experiments.ad_drl.analysis import control, explain
from experiments.ad_drl.config import preset
from experiments.common import comparison, readme
from experiments.common.config import Run
from experiments.common.interactions import recommend

__all__ = ["control", "explain", "recommend", "tables", "train"]


def train(run: Run) -> None:
    """Train AD-DRL and the baselines, print the table, write records and the report."""
    comparison.train(run, preset)


def tables() -> Path:
    """Fill README.md."""
    return readme.fill(analysis.FOLDER, analysis.bodies())
